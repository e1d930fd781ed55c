//! The leader's stream: from a cursor, through rebases, and at the session's own pace.

use livestore_traits::{GoneReason, SeqNum};

use super::probe::{Answer, Probe};
use super::upstream::FORBIDDEN;
use super::{LinkFixture, join, lead};

/// After a refresh the stream begins at the version asked for, under its own number.
///
/// Verifies: `Refresh`; the probe skips items of older streams and checks those of the new one.
pub async fn a_refresh_begins_the_stream_again<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut probe = join(fixture, &leader, "s1").await;
    probe.persist(1, &["a"]).await;
    probe.persist(2, &["b", "draft", "c"]).await;
    probe.until_settled(4).await;
    let before = probe.log.clone();
    probe.refresh(SeqNum::ROOT);
    probe.until_settled(4).await;
    assert_eq!(probe.log, before);
    probe.refresh(before[1].num);
    probe.until_settled(2).await;
    assert_eq!(probe.log, before[2..]);
    assert_eq!(probe.push(3, &["d"]).await, Answer::Accepted);
}

/// A session that comes back with part of the log gets the rest.
///
/// Verifies: `Attach::cursor`, at every version of the log.
pub async fn a_cursor_inside_the_log_gets_what_follows<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut probe = join(fixture, &leader, "s1").await;
    probe.persist(1, &["a", "draft", "b"]).await;
    probe.persist(2, &["c"]).await;
    probe.until_settled(4).await;
    for (index, event) in probe.log.iter().enumerate().take(3) {
        let mut again = Probe::attach_at(probe.link.clone(), "s2", event.num, 0).await;
        again.until_settled(3 - index).await;
        assert_eq!(again.log, probe.log[index + 1..]);
    }
}

/// Events of others come before what is not confirmed, for every session alike.
///
/// Verifies: `Rebase` and `Advance` fit together; nothing is lost or repeated.
pub async fn a_rebase_leads_every_session_to_one_log<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    upstream.cut_off();
    let mut one = join(fixture, &leader, "s1").await;
    let mut two = join(fixture, &leader, "s2").await;
    one.persist(1, &["a", "draft a"]).await;
    two.persist(1, &["b", "c"]).await;
    one.until(|probe| probe.log.len() == 4).await;
    upstream.write("x");
    upstream.write("y");
    upstream.reconnect();
    for probe in [&mut one, &mut two] {
        probe.until_settled(6).await;
        assert_eq!(probe.texts(), ["x", "y", "a", "draft a", "b", "c"]);
        assert!(probe.rebases > 0, "what was sent before was never taken back");
    }
    assert_eq!(one.log, two.log);
    assert_eq!(upstream.texts(), ["x", "y", "a", "b", "c"]);
}

/// A session that was away while its version was rolled back is led to what the log has now.
///
/// Verifies: a rebase to the last common version, for a cursor that the log has no longer.
pub async fn a_version_that_was_rolled_back_is_led_to_the_log<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    let mut stays = join(fixture, &leader, "s1").await;
    stays.persist(1, &["shared"]).await;
    stays.until_settled(1).await;
    upstream.cut_off();
    stays.persist(2, &["a"]).await;
    let mut goes = join(fixture, &leader, "s2").await;
    goes.until(|probe| probe.log.len() == 2).await;
    let (link, log) = (goes.link.clone(), goes.log.clone());
    drop(goes);
    upstream.write("x");
    upstream.reconnect();
    stays.until_settled(3).await;
    let mut again = Probe::attach_at(link, "s2", log[0].num, 0).await;
    again.until_settled(2).await;
    assert_eq!(again.log, stays.log[1..]);
    let mut again = Probe::attach_at(again.link.clone(), "s2", log[1].num, 0).await;
    again.knows(log);
    again.until_settled(3).await;
    assert_eq!(again.log, stays.log);
    assert_eq!(again.rebases, 1);
}

/// Sessions learn that events are confirmed, also when nothing else happens.
///
/// Verifies: an `Advance` without events tells the settled head.
pub async fn the_settled_head_is_told_when_only_it_moves<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    upstream.cut_off();
    let mut one = join(fixture, &leader, "s1").await;
    let mut two = join(fixture, &leader, "s2").await;
    one.persist(1, &["a"]).await;
    two.until(|probe| probe.log.len() == 1).await;
    assert_eq!((one.settled, two.settled), (SeqNum::ROOT, SeqNum::ROOT));
    upstream.reconnect();
    one.until_settled(1).await;
    two.until_settled(1).await;
    assert_eq!(one.rebases + two.rebases, 0);
}

/// A commit that the backend refuses leaves every session's log; its own session is told why, then and later.
///
/// Verifies: `LeaderItem::gone` and `Attached::gone`.
pub async fn a_dropped_commit_is_told_and_stays_told<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    upstream.cut_off();
    let mut one = join(fixture, &leader, "s1").await;
    let mut two = join(fixture, &leader, "s2").await;
    one.persist(1, &["a"]).await;
    one.persist(2, &["half of it", FORBIDDEN]).await;
    one.persist(3, &["b"]).await;
    two.until(|probe| probe.log.len() == 4).await;
    upstream.reconnect();
    one.until_settled(2).await;
    two.until_settled(2).await;
    assert_eq!((one.texts(), two.texts()), (vec!["a".into(), "b".into()], vec!["a".into(), "b".into()]));
    assert!(two.gone.is_empty(), "it was none of its commits");
    let told = |gone: &[livestore_traits::GoneCommit]| match gone {
        [gone] => {
            gone.n == 2 && matches!(&gone.reason, GoneReason::Rejected(why) if why.contains("forbidden"))
        }
        _ => false,
    };
    assert!(told(&one.gone), "{:?}", one.gone);
    let again = Probe::attach(one.link.clone(), "s1").await;
    assert!(told(&again.attached.gone), "{:?}", again.attached.gone);
    assert_eq!(again.attached.persisted, 3);
}

/// A session that does not read costs the others nothing, and gets everything once it does.
///
/// Verifies: nothing waits for a slow session; `Taken` paces the stream.
pub async fn a_session_that_takes_nothing_holds_nobody_up<F: LinkFixture>(fixture: &F) {
    const COMMITS: u64 = 300;
    let (leader, _) = lead(fixture).await;
    let mut slow = join(fixture, &leader, "slow").await;
    let mut quick = join(fixture, &leader, "quick").await;
    for n in 1..=COMMITS {
        quick.persist(n, &["a", "b"]).await;
    }
    quick.until_settled(2 * COMMITS as usize).await;
    slow.until_settled(2 * COMMITS as usize).await;
    assert_eq!(slow.log, quick.log);
}
