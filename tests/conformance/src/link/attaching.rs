//! Attaching, being ended, and starting from a snapshot.

use std::io::Read;

use futures::FutureExt;
use livestore_traits::{Attach, SeqNum, SessionId};

use super::probe::{Answer, Probe};
use super::{LinkFixture, join, lead};

/// A leader that never heard of a session says so.
///
/// Verifies: `Attached` of an unknown session.
pub async fn a_new_session_finds_nothing_of_itself<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let probe = join(fixture, &leader, "s1").await;
    assert_eq!((probe.attached.persisted, probe.attached.gone.len()), (0, 0));
}

/// A session that attaches again learns how far the leader has it, and gets the log.
///
/// Verifies: `Attached::persisted`; other sessions count apart.
pub async fn attaching_again_tells_what_was_persisted<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut probe = join(fixture, &leader, "s1").await;
    probe.persist(1, &["a"]).await;
    probe.persist(2, &["b", "c"]).await;
    let link = probe.link.clone();
    drop(probe);
    let mut again = Probe::attach(link, "s1").await;
    assert_eq!(again.attached.persisted, 2);
    again.until_settled(3).await;
    assert_eq!(again.texts(), ["a", "b", "c"]);
    assert_eq!(join(fixture, &leader, "s2").await.attached.persisted, 0);
}

/// Of two attachments of one session id only the later one lives.
///
/// Verifies: "Attaching ends every older attachment of the same session id".
pub async fn attaching_again_ends_the_older_attachment<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut other = join(fixture, &leader, "s2").await;
    let mut older = join(fixture, &leader, "s1").await;
    let mut newer = join(fixture, &leader, "s1").await;
    older.end().await;
    newer.persist(1, &["a"]).await;
    other.until(|probe| probe.texts() == ["a"]).await;
}

/// What an ended attachment had not pushed before never enters the log.
///
/// Verifies: it ends "with what is still in it".
pub async fn the_ended_attachment_pushes_nothing_more<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut older = join(fixture, &leader, "s1").await;
    let mut newer = join(fixture, &leader, "s1").await;
    let late = older.unit(1, &["too late"]);
    older.send(SeqNum::ROOT, late);
    older.end().await;
    assert_eq!(newer.push(1, &["in time"]).await, Answer::Accepted);
    newer.until_settled(1).await;
    assert_eq!(newer.texts(), ["in time"]);
}

/// An attach whose future is dropped leaves nothing that disturbs.
///
/// Verifies: the cancel safety of `attach` and `snapshot`.
pub async fn an_attach_that_nobody_waits_for_harms_nobody<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let link = fixture.link(&leader).await;
    let mut other = join(fixture, &leader, "s2").await;
    let session_id = SessionId::new("s1").expect("the id is valid");
    for _ in 0..10 {
        let attach =
            Attach { session_id: session_id.clone(), cursor: SeqNum::ROOT, last_n: 0, label: "test".into() };
        assert!(link.attach(attach).now_or_never().is_none_or(|attached| attached.is_ok()));
        assert!(link.snapshot(&session_id).now_or_never().is_none_or(|snapshot| snapshot.is_ok()));
    }
    let mut probe = Probe::attach(link, "s1").await;
    probe.persist(1, &["a"]).await;
    other.until(|probe| probe.texts() == ["a"]).await;
    other.persist(1, &["b"]).await;
    probe.until(|probe| probe.texts() == ["a", "b"]).await;
}

/// A session that goes takes nothing of the others with it; what it pushed stays.
///
/// Verifies: dropping the sender detaches.
pub async fn a_session_that_detaches_harms_nobody<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut stays = join(fixture, &leader, "s1").await;
    for n in 0..5 {
        let mut goes = join(fixture, &leader, &format!("goes-{n}")).await;
        goes.until(|probe| probe.log.len() == n).await;
        goes.persist(1, &["a"]).await;
    }
    stays.until_settled(5).await;
    stays.persist(1, &["b"]).await;
}

/// When the leader stops, sessions see the end of the stream, and nobody attaches any more.
///
/// Verifies: "When the leader is gone the stream ends".
pub async fn the_stream_ends_when_the_leader_stops<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut probes = [join(fixture, &leader, "s1").await, join(fixture, &leader, "s2").await];
    probes[0].persist(1, &["a"]).await;
    let link = fixture.link(&leader).await;
    fixture.stop(leader).await;
    for probe in &mut probes {
        probe.end().await;
        assert!(!probe.send(SeqNum::ROOT, Vec::new()), "the leader is gone");
    }
    let session_id = SessionId::new("s3").expect("the id is valid");
    assert!(link.snapshot(&session_id).await.is_err());
    assert!(
        link.attach(Attach { session_id, cursor: SeqNum::ROOT, last_n: 0, label: "test".into() })
            .await
            .is_err()
    );
}

/// A snapshot's head is where the stream goes on, and it says what it holds of the session.
///
/// Verifies: `SessionSnapshot`; its bytes are as many as it says.
pub async fn a_snapshot_holds_what_it_says_is_persisted<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    let mut probe = join(fixture, &leader, "s1").await;
    assert_eq!(probe.link.snapshot(&probe.session_id).await.expect("there is a leader").held.persisted, 0);
    probe.persist(1, &["a"]).await;
    probe.persist(2, &["b", "draft"]).await;
    probe.until_settled(3).await;
    let mut taken = probe.link.snapshot(&probe.session_id).await.expect("there is a leader");
    assert_eq!((taken.held.persisted, taken.snapshot.head), (2, probe.head()));
    let mut bytes = Vec::new();
    taken.snapshot.bytes.read_to_end(&mut bytes).expect("a snapshot can be read");
    assert_eq!(bytes.len() as u64, taken.snapshot.len);
    upstream.write("of others");
    let mut newer = Probe::attach_at(probe.link.clone(), "s2", taken.snapshot.head, 0).await;
    newer.until_settled(1).await;
    assert_eq!(newer.texts(), ["of others"]);
}
