//! Pushes: what is taken, what is refused, and what ends the attachment.

use livestore_traits::{Event, SeqNum, SessionId};

use super::probe::{Answer, Probe};
use super::upstream::FORBIDDEN;
use super::{LinkFixture, join, lead};

/// Pushes that build on each other are taken one after the other.
///
/// Verifies: `Accepted` with base, attempt and last number; the probe checks each.
pub async fn pushes_are_answered_in_order<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    // Nothing is renumbered, and nothing comes in between.
    upstream.cut_off();
    let mut probe = join(fixture, &leader, "s1").await;
    let mut base = SeqNum::ROOT;
    let mut expected = Vec::new();
    for n in 1..=20 {
        let text = format!("{n}");
        assert_eq!(probe.push(n, &[&text, "draft"]).await, Answer::Accepted);
        assert!(probe.head().position() > base.position());
        base = probe.head();
        expected.extend([text, "draft".to_owned()]);
    }
    assert_eq!(probe.texts(), expected);
    assert!(upstream.texts().is_empty());
    upstream.reconnect();
    probe.until_settled(40).await;
    assert_eq!(upstream.texts().len(), 20, "client-only events are not for the backend");
}

/// What one session pushes the others get, in the order of the log.
///
/// Verifies: one order for all sessions, client-only events among it.
pub async fn every_session_gets_what_one_pushes<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut one = join(fixture, &leader, "s1").await;
    let mut two = join(fixture, &leader, "s2").await;
    for n in 1..=10 {
        one.persist(n, &["a", "draft"]).await;
        two.persist(n, &["b"]).await;
    }
    one.until_settled(30).await;
    two.until_settled(30).await;
    assert_eq!(one.log, two.log);
}

/// A push that does not build on the log's head is refused whole; with what was missing it is taken.
///
/// Verifies: `Refused`; nothing of the push is in the log.
pub async fn a_push_on_another_base_is_refused<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    upstream.cut_off();
    let mut one = join(fixture, &leader, "s1").await;
    let mut two = join(fixture, &leader, "s2").await;
    one.persist(1, &["a"]).await;
    let on_root =
        Event { num: SeqNum::ROOT.next_synced(Default::default()), ..two.unit(1, &["b"]).remove(0) };
    two.send(SeqNum::ROOT, vec![on_root]);
    assert_eq!(two.answer().await, Answer::Refused);
    two.until(|probe| probe.texts() == ["a"]).await;
    assert_eq!(two.push(1, &["b"]).await, Answer::Accepted);
    one.until(|probe| probe.texts() == ["a", "b"]).await;
}

/// A commit that the log has is not taken a second time.
///
/// Verifies: "or repeats a commit".
pub async fn a_repeated_commit_is_refused<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    upstream.cut_off();
    let mut probe = join(fixture, &leader, "s1").await;
    probe.persist(1, &["a"]).await;
    assert_eq!(probe.push(1, &["a"]).await, Answer::Refused);
    assert_eq!(probe.push(2, &["b"]).await, Answer::Accepted);
    assert_eq!(probe.texts(), ["a", "b"]);
}

/// A commit that was in the log and was dropped from it stays out, however often it is pushed.
///
/// Verifies: the count of a session never falls.
pub async fn a_commit_that_was_dropped_does_not_come_back<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut probe = join(fixture, &leader, "s1").await;
    probe.persist(1, &[FORBIDDEN]).await;
    probe.until(|probe| !probe.gone.is_empty() && probe.log.is_empty()).await;
    assert_eq!(probe.push(1, &["again"]).await, Answer::Refused);
    assert_eq!(probe.push(2, &["next"]).await, Answer::Accepted);
    probe.until_settled(1).await;
    assert_eq!(probe.texts(), ["next"]);
}

/// A session that speaks for another one is detached, and nobody else notices.
///
/// Verifies: "a rule-breaking session" is closed and the log is as it was.
pub async fn events_of_another_session_end_the_attachment<F: LinkFixture>(fixture: &F) {
    breaks_the_rules(fixture, |probe| {
        let session_id = SessionId::new("honest").expect("the id is valid");
        probe
            .unit(1, &["forged"])
            .into_iter()
            .map(|event| Event { session_id: session_id.clone(), ..event })
            .collect()
    })
    .await;
}

/// A push with a gap in its numbers ends the attachment.
///
/// Verifies: as above.
pub async fn a_broken_chain_ends_the_attachment<F: LinkFixture>(fixture: &F) {
    breaks_the_rules(fixture, |probe| {
        let mut unit = probe.unit(1, &["a", "b", "c"]);
        unit.remove(1);
        unit
    })
    .await;
}

/// A push that ends inside a unit ends the attachment.
///
/// Verifies: as above.
pub async fn half_a_unit_ends_the_attachment<F: LinkFixture>(fixture: &F) {
    breaks_the_rules(fixture, |probe| {
        let mut unit = probe.unit(1, &["a", "b"]);
        unit.pop();
        unit
    })
    .await;
}

async fn breaks_the_rules<F: LinkFixture>(fixture: &F, events: impl FnOnce(&Probe) -> Vec<Event>) {
    let (leader, upstream) = lead(fixture).await;
    upstream.cut_off();
    let mut honest = join(fixture, &leader, "honest").await;
    let mut breaker = join(fixture, &leader, "breaker").await;
    let events = events(&breaker);
    breaker.send(SeqNum::ROOT, events);
    breaker.end().await;
    assert_eq!(honest.push(1, &["fine"]).await, Answer::Accepted);
    assert_eq!(honest.texts(), ["fine"]);
    let mut again = join(fixture, &leader, "breaker").await;
    assert_eq!(again.attached.persisted, 0);
    again.until(|probe| probe.texts() == ["fine"]).await;
    assert_eq!(again.push(1, &["honest now"]).await, Answer::Accepted);
}

/// When the client gets another id, its sessions are told, and what they push under the old one is refused.
///
/// Verifies: `LeaderItem::client_id`.
pub async fn a_push_under_an_old_client_id_is_refused_with_the_new_one<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    let mut probe = join(fixture, &leader, "s1").await;
    let old = probe.client_id.clone();
    upstream.take_client_id(&old);
    probe.persist(1, &["a"]).await;
    probe.until(|probe| probe.client_id != old && !probe.log.is_empty()).await;
    probe.until_settled(1).await;
    assert_eq!(probe.log[0].client_id, probe.client_id, "what is not confirmed follows the new id");
    let unit = probe.unit(2, &["b"]).into_iter().map(|event| Event { client_id: old.clone(), ..event });
    let unit = unit.collect();
    assert_eq!(probe.push_events(unit).await, Answer::Refused);
    assert_eq!(probe.push(2, &["b"]).await, Answer::Accepted);
    probe.until_settled(2).await;
    assert_eq!(upstream.texts(), ["a", "b"]);
}
