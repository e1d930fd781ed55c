//! What a leader does, rule by rule.
//!
//! A log reads `e1:x1 | e1.1:a1 e2':a2`: x1 is confirmed, a1 a client-only unit that can no longer move, a2 pending.

use livestore_engine::sync::{Amendment, Change, MergeError, Outcome, Payload, Refusal, SyncState, merge};
use livestore_traits::{ClientId, GlobalSeq, SeqNum, SessionId};

use crate::leader::upstream;
use crate::notation::{events, log, log_text, num, page, plain_page};

/// A log, what the backend sends, and the log that it leads to.
struct Case {
    rule: &'static str,
    log: &'static str,
    sent: &'static str,
    becomes: &'static str,
}

const ADVANCES: &[Case] = &[
    Case {
        rule: "without pending, the log goes on",
        log: "e1:x1 |",
        sent: "e2:x2 e3:y1",
        becomes: "e1:x1 e2:x2 e3:y1 |",
    },
    Case {
        rule: "an equal event confirms, and keeps its stamp",
        log: "| e1r2':a1 e2r2':a2",
        sent: "e1:a1",
        becomes: "e1r2:a1 | e2r2':a2",
    },
    Case {
        rule: "another event moves all of pending, in one new generation",
        log: "| e1':a1 e2':b1",
        sent: "e1:x1 e2:x2",
        becomes: "e1r1:x1 e2r1:x2 | e3r1':a1 e4r1':b1",
    },
    Case {
        rule: "comparing goes on after a rollback, at the renumbered position",
        log: "| e1':a1 e2':a2",
        sent: "e1:x1 e2:a1",
        becomes: "e1r1:x1 e2r1:a1 | e3r1':a2",
    },
    Case {
        rule: "what was confirmed before the rollback in the same page keeps its stamp",
        log: "| e1':a1 e2':a2",
        sent: "e1:a1 e2:x1",
        becomes: "e1:a1 e2r1:x1 | e3r1':a2",
    },
    Case {
        rule: "an equal event of pending that is not the first is another event",
        log: "| e1':a1 e2':a2",
        sent: "e1:a2",
        becomes: "e1r1:a2 | e2r1':a1 e3r1':a2",
    },
    Case {
        rule: "a confirmed event carries the client-only ones before it along",
        log: "| e0.1':a1 e0.2':a1 e1':a1",
        sent: "e1:a1.2",
        becomes: "e0.1:a1.0 e0.2:a1.1 e1:a1.2 |",
    },
    Case {
        rule: "client-only events in the middle of a unit wait for the rest of it",
        log: "| e1':a1 e1.1':a1 e2':a1",
        sent: "e1:a1.0",
        becomes: "e1:a1.0 | e1.1':a1.1 e2':a1.2",
    },
    Case {
        rule: "client-only events at the end of a unit are settled with it",
        log: "| e1':a1 e1.1':a1 e2':b1",
        sent: "e1:a1.0",
        becomes: "e1:a1.0 | e1.1:a1.1 e2':b1",
    },
    Case {
        rule: "client-only units between synced ones settle when they come first",
        log: "| e1':a1 e1.1':b1 e1.2':a2 e2':b2",
        sent: "e1:a1",
        becomes: "e1:a1 | e1.1:b1 e1.2:a2 e2':b2",
    },
    Case {
        rule: "settled is what is settled after each event: a later one does not move it",
        log: "| e1':a1 e1.1':b1 e2':a2",
        sent: "e1:a1 e2:x1",
        becomes: "e1:a1 e1.1:b1 e2r1:x1 | e3r1':a2",
    },
    Case {
        rule: "the same after a rollback",
        log: "| e1':a1 e1.1':b1 e2':a2",
        sent: "e1:x1 e2:a1 e3:x2",
        becomes: "e1r1:x1 e2r1:a1 e2.1r1:b1 e3r1:x2 | e4r1':a2",
    },
    Case {
        rule: "what is settled never moves",
        log: "e1:x1 | e1.1:a1 e2':a2",
        sent: "e2:x2",
        becomes: "e1:x1 e1.1:a1 e2r1:x2 | e3r1':a2",
    },
    Case {
        rule: "the rest of a unit of which a part is confirmed moves as a whole",
        log: "e1:a1 | e1.1':a1 e2':a1",
        sent: "e2:x1",
        becomes: "e1:a1.0 e2r1:x1 | e2.1r1':a1.1 e3r1':a1.2",
    },
    Case {
        rule: "old history may have holes, and nothing of ours stands behind one",
        log: "| e1':a1",
        sent: "e4:a1 e7:x1",
        becomes: "e4r1:a1 e7r1:x1 | e8r1':a1",
    },
    Case {
        rule: "equal events of two sessions are two events",
        log: "| e1':a1=0 e2':b1=0",
        sent: "e1:b1=0",
        becomes: "e1r1:b1=0 | e2r1':a1=0 e3r1':b1=0",
    },
    Case {
        rule: "equal events of one session are told apart by the commit",
        log: "| e1':a1=0 e2':a2=0",
        sent: "e1:a2=0",
        becomes: "e1r1:a2=0 | e2r1':a1=0 e3r1':a2=0",
    },
    Case {
        rule: "args are compared as JavaScript reads them, and ours stay",
        log: r#"| e1':a1={"a":1,"b":[2]}"#,
        sent: r#"e1:a1={"b":[2.0],"a":1}"#,
        becomes: r#"e1:a1={"a":1,"b":[2]} |"#,
    },
    Case {
        rule: "other args under the same commit, that was not pushed, are another event's: a restored log counts again",
        log: "| e1':a1=0 e2':a2",
        sent: "e1:a1=7",
        becomes: "e1r1:a1=7 | e2r1':a1=0 e3r1':a2",
    },
];

#[test]
fn the_backend_goes_on() {
    for case in ADVANCES {
        check(case.rule, case.log, case.becomes, |state| upstream(state, page(case.sent), GlobalSeq::ROOT));
    }
}

#[test]
fn what_was_pushed_decides_about_other_args() {
    let cases = [
        ("e0", "e1:a1=7", "e1r1:a=7 | e2r1':a1=0 e3r1':a2=0", "it was not pushed"),
        ("e1", "e1:a1=7", "e1r1:a1=7 | e2r1':a2=0", "it was pushed"),
        ("e2", "e1:a1=7 e2:a2=8", "e1r1:a1=7 e2r1:a2=8 |", "taking over args moves nothing"),
        (
            "e2",
            "e1:x1 e2:a1=7",
            r#"e1r1:x="x1.0" e2r1:a=7 | e3r1':a1=0 e4r1':a2=0"#,
            "another event moved it since",
        ),
    ];
    for (pushed, sent, becomes, rule) in cases {
        let payload = |state: &SyncState| upstream(state, plain_page(sent), num(pushed).global);
        check(rule, "| e1':a1=0 e2':a2=0", becomes, payload);
    }
}

#[test]
fn adopted_args_are_reported() {
    let mut leader = log("| e0.1':a1 e1':a1 e2':a2").open();
    let change = changed(&mut leader, |state| upstream(state, page("e1:a1.1=7 e2:a2"), GlobalSeq(1)));
    assert_eq!(change.adopted, [num("e1r1")]);
    assert_eq!(change.confirmed, 3);
}

/// A push as a session makes it.
fn push(base: &str, expected_n: u64, sent: &str) -> Payload {
    Payload::LocalPush { base: num(base), expected_n, events: events(sent) }
}

#[test]
fn sessions_push() {
    let cases = [
        ("a synced unit is pending", "e1:x1 |", push("e1", 1, "e2:a1"), "e1:x1 | e2':a1"),
        (
            "a client-only unit after the upstream head is settled at once",
            "e1:x1 |",
            push("e1", 1, "e1.1:a1"),
            "e1:x1 | e1.1:a1",
        ),
        ("but not behind a pending synced event", "| e1':b1", push("e1", 1, "e1.1:a1"), "| e1':b1 e1.1':a1"),
        (
            "nor as part of a unit with a synced event",
            "|",
            push("e0", 1, "e0.1:a1 e1:a1"),
            "| e0.1':a1.0 e1':a1.1",
        ),
        (
            "a session's own stamps do not enter the log",
            "e1r3:x1 |",
            push("e1r3", 1, "e2r9:a1"),
            "e1r3:x1 | e2r3':a1",
        ),
        ("several units at once", "|", push("e0", 4, "e1:a4 e1.1:a5 e2:a6"), "| e1':a4 e1.1':a5 e2':a6"),
    ];
    for (rule, before, payload, becomes) in cases {
        check(rule, before, becomes, |_| payload.clone());
    }
}

#[test]
fn pushes_that_do_not_fit_are_rejected_with_what_was_expected() {
    let wrong_base = |expected| Refusal::WrongBase { expected: num(expected) };
    let cases = [
        ("an older base", "e1:x1 |", push("e0", 1, "e1:a1"), wrong_base("e1")),
        ("another version of the head", "| e1r1':b1", push("e1", 1, "e2:a1"), wrong_base("e1r1")),
        // Without this, a repeated push brings a commit back that was dropped (n_check).
        (
            "a commit that was persisted before",
            "|",
            push("e0", 2, "e1:a1"),
            Refusal::WrongCommit { expected: 2 },
        ),
        (
            "a commit that cannot be counted on from",
            "|",
            push("e0", 1, &format!("e1:a{}", u64::MAX)),
            Refusal::WrongCommit { expected: 1 },
        ),
        ("a commit too far ahead", "|", push("e0", 1, "e1:a2"), Refusal::WrongCommit { expected: 1 }),
        // A session that was sent half of its unit still holds the other half as pending.
        ("half a unit on an older base", "| e1':a1 e2':a1", push("e1", 2, "e2:a1.1"), wrong_base("e2")),
    ];
    for (rule, before, payload, refusal) in cases {
        assert_eq!(unchanged(before, payload), Ok(Outcome::Reject(refusal)), "{rule}");
    }
}

#[test]
fn malformed_pushes_are_errors() {
    let cases = [
        ("no events", push("e0", 1, "")),
        ("the first event is not the first of its unit", push("e0", 1, "e1:a1.1")),
        ("an index is missing", push("e0", 1, "e1:a1.0 e2:a1.2")),
        ("a commit is missing", push("e0", 1, "e1:a1 e2:a3")),
        ("two sessions", push("e0", 1, "e1:a1 e2:b1")),
        ("another client's event", push("e0", 1, "e1:x1")),
    ];
    for (rule, payload) in cases {
        assert!(matches!(unchanged("|", payload), Err(MergeError::Units(_))), "{rule}");
    }
    let mut open = events("e1:a1 e2:a1");
    open.pop();
    let payload = Payload::LocalPush { base: SeqNum::ROOT, expected_n: 1, events: open };
    assert!(matches!(unchanged("|", payload), Err(MergeError::Units(_))), "the end of the unit is missing");
    for gap in ["e2:a1", "e1.1:a1", "e1:a1 e1:a2"] {
        let outcome = unchanged("|", push("e0", 1, gap));
        assert!(matches!(outcome, Err(MergeError::BrokenChain { .. })), "{gap}: {outcome:?}");
    }
}

fn drop_commits(session: &str, commits: &[u64]) -> Payload {
    let session_id = SessionId::new(session).unwrap();
    Payload::Amend(Amendment::Drop { session_id, commits: commits.to_vec() })
}

#[test]
fn pending_is_amended() {
    let rename = Payload::Amend(Amendment::ReplaceClientId(ClientId::new("me").unwrap()));
    let cases = [
        // Dropping one event of a unit alone would split what the application committed together (amend_unit), and
        // without a new generation e2 would name two events (no_amend_gen).
        (
            "a refused unit is dropped whole",
            "| e1':a1 e2':a2 e2.1':a2 e3':b1",
            drop_commits("a", &[2]),
            "| e1':a1 e2r1':b1",
        ),
        // After a rebase the refused event has another number (amend_by_id).
        (
            "it is found by its commit, wherever it stands",
            "e1:x1 | e2r1':a1 e3r1':a2",
            drop_commits("a", &[2]),
            "e1:x1 | e2r1':a1",
        ),
        ("another session's commit of that n stays", "| e1':b1 e2':a1", drop_commits("a", &[1]), "| e1':b1"),
        (
            "client-only units that come first now are settled",
            "| e1':a1 e1.1':b1 e2':b2",
            drop_commits("a", &[1]),
            "| e0.1r1:b1 e1r1':b2",
        ),
        (
            "of a unit that is partly confirmed, what is pending goes",
            "e1:a1 | e1.1':a1 e2':a1 e3':b1",
            drop_commits("a", &[1]),
            "e1:a1.0 | e2r1':b1",
        ),
        (
            "a commit that is not pending changes nothing",
            "e1:a1 | e2':a2",
            drop_commits("a", &[1]),
            "e1:a1 | e2':a2",
        ),
        ("an id that all have changes nothing", "| e1':a1", rename, "| e1':a1"),
    ];
    for (rule, before, payload, becomes) in cases {
        check(rule, before, becomes, |_| payload.clone());
    }
}

#[test]
fn a_new_client_id_is_a_new_version() {
    let mut leader = log("e1:a1 | e2':a2 e3':b1").open();
    let id = ClientId::new("new").unwrap();
    let change = changed(&mut leader, |_| Payload::Amend(Amendment::ReplaceClientId(id.clone())));
    assert_eq!(change.rollback_to, Some(num("e1")));
    assert!(leader.pending.iter().all(|event| event.client_id == id));
    assert_eq!(leader.local_head, num("e3r1"));
}

#[test]
fn a_new_history_begins_where_both_part() {
    let cases = [
        ("what is kept follows the base", "e1:x1 e2:a1 | e3':a2", "e1", "e3:a2", "e1:x1 | e2r1':a2"),
        ("from the root", "e1:x1 | e2':a1", "e0", "e2:a1", "| e1r1':a1"),
        (
            "client-only events of archived units are settled first",
            "e1:x1 e1.1:a1 e2:b1 | e3':a2",
            "e1",
            "e1.1:a1 e3:a2",
            "e1:x1 | e1.1r1:a1 e2r1':a2",
        ),
        ("nothing kept", "e1:x1 e2:x2 |", "e1", "", "e1:x1 |"),
    ];
    for (rule, before, base, keep, becomes) in cases {
        let mut log = log(before);
        let mut leader = log.open();
        let change = changed(&mut leader, |_| Payload::Reset { base: num(base), keep: events(keep) });
        log.reset(&change, &leader);
        assert_eq!(log_text(&log), becomes, "{rule}");
        assert_eq!(leader.generation.0, 1, "{rule}");
    }
}

#[test]
fn what_reset_leaves_of_a_unit_is_a_unit() {
    // The end of a1 is archived. Its first event must not run into a2 and wait for that.
    let mut log = log("e0.1:a1 e1:a1 | e2':a2");
    let mut leader = log.open();
    let mut keep = log.events.clone();
    keep.remove(1);
    let change = changed(&mut leader, |_| Payload::Reset { base: SeqNum::ROOT, keep: keep.clone() });
    log.reset(&change, &leader);
    assert_eq!(log_text(&log), "| e0.1r1:a1 e1r1':a2");
}

#[test]
fn a_backend_that_breaks_the_rules_is_told_apart() {
    let advance = |after: &str, sent: &str| Payload::UpstreamAdvance {
        after: num(after),
        events: page(sent),
        settled: None,
        pushed_through: GlobalSeq::ROOT,
    };
    let broken = |after, found| Err(MergeError::BrokenChain { after: num(after), found: num(found) });
    let gap = |after| Err(MergeError::Gap { head: num("e1"), after: num(after) });
    let beyond = |claimed| Err(MergeError::Beyond { claimed: num(claimed), known: num("e1") });
    let reset = |base| Payload::Reset { base: num(base), keep: Vec::new() };
    let far = "e9007199254740992";
    let cases = [
        ("a gap", advance("e2", "e3:x3"), gap("e2")),
        ("known events are not for merge to trim", advance("e0", "e1:x1"), gap("e0")),
        ("a repeat within a page", advance("e1", "e2:x2 e2:x2"), broken("e2", "e2")),
        ("a fall within a page", advance("e1", "e3:x2 e2:x3"), broken("e3", "e2")),
        ("a client-only event", advance("e1", "e1.1:x2"), broken("e1", "e1.1")),
        (
            "no room to count on",
            advance("e1", &format!("{far}:x2")),
            Err(MergeError::OutOfRange { num: num(far) }),
        ),
        ("a new history that shares what was never confirmed", reset("e2"), beyond("e2")),
        ("a new history that begins at no backend's event", reset("e0.1"), beyond("e0.1")),
    ];
    for (rule, payload, error) in cases {
        assert_eq!(unchanged("e1:x1 | e2':a1", payload), error, "{rule}");
    }
}

/// Merges into `before` and expects the log `becomes`, down to every stamp.
fn check(rule: &str, before: &str, becomes: &str, payload: impl Fn(&SyncState) -> Payload) {
    let mut log = log(before);
    let mut leader = log.open();
    let generation = leader.generation;
    let change = changed(&mut leader, payload);
    log.apply(&change, &leader);
    assert_eq!(log_text(&log), becomes, "{rule}");
    let has_risen = leader.generation > generation;
    assert_eq!(has_risen, change.rollback_to.is_some(), "{rule}: the generation rises with a rollback only");
}

fn changed(leader: &mut SyncState, payload: impl Fn(&SyncState) -> Payload) -> Change {
    let payload = payload(leader);
    match merge(leader, payload) {
        Ok(Outcome::Advance(change)) => {
            assert_eq!(change.rollback_to, None);
            change
        }
        Ok(Outcome::Rebase(change)) => {
            assert!(change.rollback_to.is_some());
            change
        }
        other => panic!("not merged: {other:?}"),
    }
}

/// Merges what must not change anything.
fn unchanged(before: &str, payload: Payload) -> Result<Outcome, MergeError> {
    let before = log(before).open();
    let mut leader = before.clone();
    let outcome = merge(&mut leader, payload);
    assert_eq!(leader, before);
    outcome
}
