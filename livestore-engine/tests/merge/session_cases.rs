//! What a session does, rule by rule.
//!
//! A session reads `e1 e2r1 | e3':a1`: the versions of its leader's log that it knows, from the last settled one on, and
//! its own pending events.

use livestore_engine::sync::{Amendment, Change, MergeError, Outcome, Payload, Refusal, SyncState, merge};
use livestore_traits::{GlobalSeq, SeqNum, SessionId};

use crate::notation::{events, num, session_text};

/// The session that reads as `text`; what is before its first version is settled, and so is that.
fn session(text: &str) -> SyncState {
    let (known, pending) = text.split_once('|').unwrap();
    let known: Vec<SeqNum> = known.split_whitespace().map(num).collect();
    let mut state = SyncState::session(known[0]);
    state.settled_head = known[0];
    state.upstream_head = known[known.len() - 1];
    state.generation = state.upstream_head.generation;
    state.known = known.into();
    state.pending = events(pending).into();
    state.local_head = state.pending.back().map_or(state.upstream_head, |event| event.num);
    state
}

fn advance(after: &str, sent: &str, settled: &str) -> Payload {
    Payload::UpstreamAdvance {
        after: num(after),
        events: events(sent),
        settled: Some(num(settled)),
        pushed_through: GlobalSeq::ROOT,
    }
}

fn rebase(after: &str, rollback_to: &str, sent: &str, settled: &str) -> Payload {
    Payload::UpstreamRebase {
        after: num(after),
        rollback_to: num(rollback_to),
        events: events(sent),
        settled: num(settled),
    }
}

fn accepted(after: &str, last: &str, settled: &str) -> Payload {
    Payload::Accepted { after: num(after), last: num(last), settled: num(settled) }
}

#[test]
fn what_is_confirmed_is_counted() {
    for payload in [advance("e1", "e2:a1 e3:a2", "e1"), accepted("e1", "e3", "e1")] {
        let outcome = merge(&mut session("e1 | e2':a1 e3':a2 e4':a3"), payload).unwrap();
        assert!(matches!(&outcome, Outcome::Advance(change) if change.confirmed == 2), "{outcome:?}");
    }
}

#[test]
fn the_leader_goes_on() {
    let cases = [
        ("the log goes on", "e1 |", advance("e1", "e2:x1 e2.1:b1", "e1"), "e1 e2 e2.1 |", None),
        (
            "another event moves pending up",
            "e1 | e2':a1",
            advance("e1", "e2:b1", "e1"),
            "e1 e2 | e3r1':a1",
            Some("e1"),
        ),
        // Otherwise the session is at a version that the leader never had, and waits for ever (adopt_stamp).
        (
            "an own event is confirmed under the leader's number, stamp included",
            "e1 | e2':a1 e3':a2",
            advance("e1", "e2r4:a1", "e1"),
            "e1 e2r4 | e3':a2",
            None,
        ),
        (
            "client-only events are compared like all others",
            "e1 | e1.1':a1 e2':a1",
            advance("e1", "e1.1:a1.0", "e1"),
            "e1 e1.1 | e2':a1.1",
            None,
        ),
        (
            "an equal event of another session is another event",
            "e1 | e2':a1=0",
            advance("e1", "e2:b1=0", "e1"),
            "e1 e2 | e3r1':a1=0",
            Some("e1"),
        ),
        (
            "an equal commit of the same session is another event",
            "e1 | e2':a2=0",
            advance("e1", "e2:a1=0", "e1"),
            "e1 e2 | e3r1':a2=0",
            Some("e1"),
        ),
        (
            "other args of the leader are taken over",
            "e1 | e2':a1=0 e3':a2",
            advance("e1", "e2:a1=7", "e1"),
            "e1 e2 | e3r1':a2",
            Some("e1"),
        ),
        (
            "old history may have holes",
            "e1 | e2':a1",
            advance("e1", "e5:x1", "e1"),
            "e1 e5 | e6r1':a1",
            Some("e1"),
        ),
        (
            "what is known is skipped",
            "e1 e2 e3 | e4':a1",
            advance("e1", "e2:x2 e3:x3 e4:a1", "e1"),
            "e1 e2 e3 e4 |",
            None,
        ),
        ("all may be known", "e1 e2 e3 |", advance("e1", "e2:x2", "e1"), "e1 e2 e3 |", None),
        (
            "the settled head moves alone, too",
            "e1 e2 e3 | e4':a1",
            advance("e3", "", "e2"),
            "e2 e3 | e4':a1",
            None,
        ),
        ("and does not fall", "e2 e3 |", advance("e3", "", "e1"), "e2 e3 |", None),
    ];
    for (rule, before, payload, becomes, rollback_to) in cases {
        check(rule, before, payload, becomes, rollback_to);
    }
}

#[test]
fn the_leader_rolls_back() {
    let cases = [
        (
            "to the last common version",
            "e1 e2 e3 | e4':a1",
            rebase("e3", "e1", "e2r1:x1 e3r1:x2", "e2r1"),
            "e2r1 e3r1 | e4r1':a1",
            "e1",
        ),
        (
            "pending is compared with what follows",
            "e1 e2 | e3':a1 e4':a2",
            rebase("e2", "e1", "e2r1:x1 e3r1:a1", "e1"),
            "e1 e2r1 e3r1 | e4r1':a2",
            "e1",
        ),
        ("nothing may follow", "e1 e2 e3 | e4':a1", rebase("e3", "e2", "", "e1"), "e1 e2 | e3r1':a1", "e2"),
        (
            "the session counts on above both",
            "e1 e2r5 | e3r5':a1",
            rebase("e2r5", "e1", "e2r9:x1", "e1"),
            "e1 e2r9 | e3r9':a1",
            "e1",
        ),
    ];
    for (rule, before, payload, becomes, rollback_to) in cases {
        check(rule, before, payload, becomes, Some(rollback_to));
    }
}

#[test]
fn a_session_that_started_from_a_snapshot_follows_its_leader_behind_it() {
    let mut state = SyncState::session(num("e5r2"));
    changed(&mut state, rebase("e5r2", "e3", "e4r3:x1", "e3"));
    assert_eq!(session_text(&state), "e3 e4r3 |");
    assert_eq!(state.settled_head, num("e3"));
}

/// What is settled cannot change any more, whatever an older payload calls it.
#[test]
fn the_settled_head_keeps_its_stamp() {
    let mut state = session("e1r1 e2r1 |");
    changed(&mut state, advance("e2r1", "", "e1"));
    assert_eq!(state.settled_head, num("e1r1"));
}

#[test]
fn the_leader_takes_a_push() {
    let cases = [
        ("all of it", "e1 | e2':a1", accepted("e1", "e2r3", "e1"), "e1 e2r3 |"),
        (
            "the first units",
            "e1 | e2':a1 e2.1':a1 e3':a2",
            accepted("e1", "e2.1", "e1"),
            "e1 e2 e2.1 | e3':a2",
        ),
        (
            "client-only units are settled with it",
            "e1 | e1.1':a1 e1.2':a2",
            accepted("e1", "e1.2r3", "e1.2r3"),
            "e1.2r3 |",
        ),
    ];
    for (rule, before, payload, becomes) in cases {
        check(rule, before, payload, becomes, None);
    }
}

#[test]
fn payloads_for_another_version_make_the_session_ask_anew() {
    let cases = [
        ("after a version that is to come", "e1 e2 |", advance("e3", "e4:x1", "e1")),
        // By position alone both would be taken for what is known, and the session would miss them (trim_by_version).
        ("after another version of a known event", "e1 e2 |", advance("e2r1", "e3r1:x1", "e1")),
        ("with another version of a known event", "e1 e2 |", advance("e1", "e2r1:x1 e3r1:x2", "e1")),
        ("after a version too old to be told apart", "e2 e3 |", advance("e1", "e2:x1 e3:x2 e4:x3", "e1")),
        ("a rebase of another version", "e1 e2 |", rebase("e2r1", "e1", "e2r2:x1", "e1")),
        ("a rebase that was taken in before", "e1 e2r1 |", rebase("e2", "e1", "e2r1:x1", "e1")),
        (
            "an acknowledgement of a push that was sent from another version",
            "e1 | e2':a1",
            accepted("e0", "e1", "e0"),
        ),
    ];
    for (rule, before, payload) in cases {
        let at = session(before).upstream_head;
        assert_eq!(unchanged(before, payload), Ok(Outcome::Reject(Refusal::Stale { at })), "{rule}");
    }
}

#[test]
fn a_leader_that_breaks_the_rules_is_told_apart() {
    let unknown = |version| Err(MergeError::Unknown { version: num(version) });
    let broken = |after, found| Err(MergeError::BrokenChain { after: num(after), found: num(found) });
    let beyond = |claimed| Err(MergeError::Beyond { claimed: num(claimed), known: num("e2.1") });
    let units = Err(MergeError::Units("an acknowledgement ends within a unit"));
    let cases = [
        // A settled head beyond the payload would put later rollbacks of the leader out of reach (clamp_settled).
        ("settled beyond what was sent", "e1 |", advance("e1", "e2:x1", "e3"), unknown("e3")),
        ("settled in another version", "e1 e2 |", advance("e2", "", "e2r1"), unknown("e2r1")),
        (
            "a rebase that settles what it does not send",
            "e1 e2 |",
            rebase("e2", "e1", "", "e2"),
            unknown("e2"),
        ),
        ("a push that settles more than it has", "e1 | e2':a1", accepted("e1", "e2", "e3"), unknown("e3")),
        (
            "a rollback behind what is settled",
            "e2 e3 |",
            rebase("e3", "e1", "", "e1"),
            Err(MergeError::BehindSettled { rollback_to: num("e1"), settled: num("e2") }),
        ),
        ("a rollback to another version", "e1 e2 e3 |", rebase("e3", "e2r1", "", "e1"), unknown("e2r1")),
        ("a rollback forwards", "e1 e2 |", rebase("e2", "e3", "", "e1"), unknown("e3")),
        ("a generation that falls", "e1r2 |", advance("e1r2", "e2r1:x1", "e1r2"), broken("e1r2", "e2r1")),
        (
            "an acknowledgement in a generation that falls",
            "e1r2 | e2r2':a1",
            accepted("e1r2", "e2", "e1r2"),
            broken("e1r2", "e2"),
        ),
        ("a missing client-only event", "e1 |", advance("e1", "e1.2:b1", "e1"), broken("e1", "e1.2")),
        (
            "an acknowledgement of more than is pending",
            "e1 | e2':a1 e2.1':a1",
            accepted("e1", "e3", "e1"),
            beyond("e3"),
        ),
        ("an acknowledgement of half a unit", "e1 | e2':a1 e2.1':a1", accepted("e1", "e2", "e1"), units),
    ];
    for (rule, before, payload, error) in cases {
        assert_eq!(unchanged(before, payload), error, "{rule}");
    }
}

#[test]
fn an_own_event_under_another_number_replaces_what_is_pending() {
    // No honest leader numbers like this; what matters is that the event is there once, where the leader says.
    check(
        "own event behind a hole",
        "e1 | e2':a1 e3':a2",
        advance("e1", "e4:a1", "e1"),
        "e1 e4 | e5r1':a2",
        Some("e1"),
    );
}

#[test]
fn commits_that_are_gone_are_taken_out() {
    let drop = Amendment::Drop { session_id: SessionId::new("a").unwrap(), commits: vec![1, 3] };
    let before = "e1 | e2':a1 e3':a2 e3.1':a2 e4':a3";
    check("dropped", before, Payload::Amend(drop), "e1 | e2r1':a2.0 e2.1r1':a2.1", Some("e1"));
}

#[test]
fn a_snapshot_replaces_what_is_known() {
    let keep = events("e3:a2 e4:a3");
    let payload = Payload::Reset { base: num("e7r4"), keep };
    check("snapshot", "e1 e2 | e3':a2 e4':a3", payload, "e7r4 | e8r5':a2 e9r5':a3", Some("e7r4"));
}

#[test]
fn payloads_of_the_other_level_are_errors() {
    let backend_page = Payload::UpstreamAdvance {
        after: num("e1"),
        events: Vec::new(),
        settled: None,
        pushed_through: GlobalSeq::ROOT,
    };
    assert_eq!(unchanged("e1 |", backend_page), Err(MergeError::WrongLevel));
    for payload in [advance("e0", "e1:x1", "e0"), rebase("e0", "e0", "", "e0"), accepted("e0", "e1", "e0")] {
        let mut leader = crate::notation::log("|").open();
        assert_eq!(merge(&mut leader, payload), Err(MergeError::WrongLevel));
    }
}

fn check(rule: &str, before: &str, payload: Payload, becomes: &str, rollback_to: Option<&str>) {
    let mut state = session(before);
    let change = changed(&mut state, payload);
    assert_eq!(session_text(&state), becomes, "{rule}");
    assert_eq!(change.rollback_to, rollback_to.map(num), "{rule}: where it rolls back to");
}

fn changed(state: &mut SyncState, payload: Payload) -> Change {
    match merge(state, payload) {
        Ok(Outcome::Advance(change) | Outcome::Rebase(change)) => change,
        other => panic!("not merged: {other:?}"),
    }
}

/// Merges what must not change anything.
fn unchanged(before: &str, payload: Payload) -> Result<Outcome, MergeError> {
    let before = session(before);
    let mut state = before.clone();
    let outcome = merge(&mut state, payload);
    assert_eq!(state, before);
    outcome
}
