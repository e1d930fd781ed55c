//! The checker on histories written by hand.

use livestore_linearizability::History;
use livestore_linearizability::checker::{DEFAULT_LIMIT, Timed, Verdict, check};
use livestore_linearizability::log::{EventId, Log, Operation, PushAnswer};

fn push(parent: usize, events: &[EventId], answer: Option<PushAnswer>) -> Operation {
    Operation::Push { parent, events: events.into(), answer }
}

/// Accepted where it was asked to stand.
fn accepted(parent: usize, events: &[EventId]) -> Operation {
    push(parent, events, Some(PushAnswer::Accepted { head: parent + events.len() }))
}

fn lost(parent: usize, events: &[EventId]) -> Operation {
    push(parent, events, None)
}

fn ahead(parent: usize, events: &[EventId], head: usize, missing: &[EventId]) -> Operation {
    push(parent, events, Some(PushAnswer::Ahead { head, missing: missing.into() }))
}

/// A pull of one page that reaches the head.
fn all(after: usize, events: &[EventId]) -> Operation {
    Operation::Page { after, begins_after: after, events: events.into(), reaches_head: true }
}

/// A page after which more comes.
fn some(after: usize, begins_after: usize, events: &[EventId]) -> Operation {
    Operation::Page { after, begins_after, events: events.into(), reaches_head: false }
}

/// Operations with the times of their calls and answers; an operation without an answer ends at 0.
fn verdict<const N: usize>(operations: [(u64, u64, Operation); N]) -> Verdict {
    let timed = operations.into_iter().enumerate().map(|(client, (called, answered, operation))| Timed {
        client,
        operation,
        called,
        answered: (answered > 0).then_some(answered),
    });
    check::<Log>(&timed.collect::<History>(), DEFAULT_LIMIT)
}

#[track_caller]
fn holds<const N: usize>(operations: [(u64, u64, Operation); N]) {
    assert_eq!(verdict(operations), Verdict::Linearizable);
}

#[track_caller]
fn fails<const N: usize>(operations: [(u64, u64, Operation); N]) {
    assert!(matches!(verdict(operations), Verdict::Violation(_)));
}

#[test]
fn nothing_and_one_after_the_other() {
    holds([]);
    holds([
        (1, 2, all(0, &[])),
        (3, 4, accepted(0, &[1, 2])),
        (5, 6, all(0, &[1, 2])),
        (7, 8, ahead(0, &[3], 2, &[1, 2])),
        (9, 10, ahead(1, &[3], 2, &[])),
        (11, 12, accepted(2, &[3])),
        (13, 14, some(0, 0, &[1, 2])),
        (15, 16, all(2, &[3])),
    ]);
}

#[test]
fn a_push_under_way_may_be_seen_or_not() {
    holds([(1, 9, accepted(0, &[1])), (2, 3, all(0, &[])), (4, 5, all(0, &[1]))]);
    fails([(1, 9, accepted(0, &[1])), (2, 3, all(0, &[1])), (4, 5, all(0, &[]))]);
}

#[test]
fn a_read_after_a_completed_push_shows_it() {
    fails([(1, 2, accepted(0, &[1])), (3, 4, all(0, &[]))]);
    fails([(1, 2, accepted(0, &[1])), (3, 4, accepted(1, &[2])), (5, 6, all(0, &[1]))]);
    // A page that only says that more follows may end anywhere.
    holds([(1, 2, accepted(0, &[1])), (3, 4, accepted(1, &[2])), (5, 6, some(0, 0, &[1]))]);
}

#[test]
fn an_acknowledged_push_is_not_lost() {
    fails([(1, 2, accepted(0, &[1])), (3, 4, accepted(0, &[2])), (5, 6, all(0, &[2]))]);
    fails([(1, 2, accepted(0, &[1])), (3, 4, ahead(1, &[2], 0, &[]))]);
}

#[test]
fn of_two_pushes_on_one_parent_one_is_refused() {
    fails([(1, 9, accepted(0, &[1])), (2, 8, accepted(0, &[2]))]);
    holds([(1, 9, accepted(0, &[1])), (2, 8, ahead(0, &[2], 1, &[1]))]);
    fails([(1, 9, accepted(0, &[1])), (2, 8, ahead(0, &[2], 1, &[3]))]);
    // A refusal that came before the push that it names was called.
    fails([(1, 2, ahead(0, &[2], 1, &[])), (3, 4, accepted(0, &[1]))]);
}

#[test]
fn a_refusal_names_a_head_of_its_time() {
    let before = [(1, 2, accepted(0, &[1])), (3, 4, accepted(1, &[2]))];
    let [first, second] = before;
    fails([first.clone(), second.clone(), (5, 6, ahead(0, &[3], 1, &[]))]);
    fails([first.clone(), second.clone(), (5, 6, ahead(0, &[3], 3, &[]))]);
    holds([first.clone(), second.clone(), (3, 6, ahead(0, &[3], 1, &[]))]);
    // What follows the head is not refused.
    fails([first, second, (5, 6, ahead(2, &[3], 2, &[]))]);
}

#[test]
fn a_lost_answer_leaves_both_open() {
    holds([(1, 0, lost(0, &[1])), (2, 3, all(0, &[])), (4, 5, all(0, &[1]))]);
    holds([(1, 0, lost(0, &[1])), (2, 3, accepted(0, &[2])), (4, 5, all(0, &[2]))]);
    fails([(1, 0, lost(0, &[1])), (2, 3, all(0, &[1])), (4, 5, all(0, &[]))]);
    fails([(1, 0, lost(0, &[1])), (2, 3, accepted(0, &[2])), (4, 5, all(0, &[1]))]);
    // Not before it was asked for.
    fails([(1, 2, all(0, &[1])), (3, 0, lost(0, &[1]))]);
}

#[test]
fn a_repeat_is_acknowledged_and_changes_nothing() {
    holds([(1, 0, lost(0, &[1])), (2, 3, accepted(0, &[1])), (4, 5, all(0, &[1]))]);
    holds([
        (1, 2, accepted(0, &[1])),
        (3, 4, accepted(1, &[2])),
        (5, 6, accepted(0, &[1])),
        (7, 8, all(0, &[1, 2])),
    ]);
    fails([(1, 2, accepted(0, &[1])), (3, 4, accepted(0, &[1])), (5, 6, all(0, &[1, 1]))]);
    fails([(1, 2, accepted(0, &[1])), (3, 4, ahead(0, &[1], 1, &[]))]);
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let log = (1, 2, accepted(0, &[1, 2, 3]));
    holds([log.clone(), (3, 4, some(0, 0, &[1])), (3, 5, all(1, &[2, 3]))]);
    // In another order, with a gap, with a repeat.
    fails([log.clone(), (3, 4, some(0, 1, &[2])), (3, 5, all(1, &[2, 3]))]);
    fails([log.clone(), (3, 4, some(0, 0, &[1])), (3, 5, all(1, &[3]))]);
    fails([log.clone(), (3, 4, some(0, 0, &[2, 1]))]);
    fails([log, (3, 4, some(0, 0, &[0]))]);
}

#[test]
fn a_log_is_never_shorter_than_it_was() {
    fails([(1, 2, accepted(0, &[1, 2])), (3, 4, Operation::Beyond { after: 2 })]);
    holds([(1, 2, accepted(0, &[1, 2])), (3, 4, Operation::Beyond { after: 3 })]);
}

#[test]
fn what_was_promised_by_one_client_holds_for_all() {
    // Each pair could have happened, all three not.
    let (a, b) = ((1, 9, accepted(0, &[1])), (2, 9, accepted(1, &[2])));
    holds([a.clone(), b.clone(), (3, 4, all(0, &[1]))]);
    fails([a, b, (3, 4, all(0, &[1, 2])), (5, 6, all(0, &[1]))]);
}

#[test]
fn many_lost_pushes_at_once_are_still_decided() {
    let mut history: History = Vec::new();
    let mut note = |called, answered, operation| {
        history.push(Timed { client: 0, operation, called, answered });
    };
    for event in 1..=20 {
        note(1, None, lost(0, &[event]));
        note(1, None, lost(1, &[event + 100]));
    }
    note(2, Some(3), all(0, &[20, 120]));
    assert_eq!(check::<Log>(&history, DEFAULT_LIMIT), Verdict::Linearizable);
    history.push(Timed { client: 0, operation: all(0, &[19, 120]), called: 4, answered: Some(5) });
    assert!(matches!(check::<Log>(&history, DEFAULT_LIMIT), Verdict::Violation(_)));
    assert!(matches!(check::<Log>(&history, 5), Verdict::Undecided(_)));
}
