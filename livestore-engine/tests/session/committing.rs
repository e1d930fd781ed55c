//! Commits, their push to the leader, and their receipts.

use std::time::Duration;

use livestore_engine::processor::{CommitError, SessionConfig};
use livestore_traits::{Args, EventKind, Limits, NewEvent};

use crate::bench::{Bench, unit};
use crate::support::name;

#[test]
fn nothing_is_committed_before_attaching() {
    let bench = Bench::new("e0");
    assert!(matches!(bench.session.prepare(unit("a")), Err(CommitError::NotAttached)));
}

#[test]
fn a_commit_is_pushed_then_persisted_then_confirmed() {
    let mut bench = Bench::attached("e1");
    assert_eq!(bench.commit("aB"), ["push 1 on e1: e2=a e2.1=b"]);
    assert_eq!(bench.accept(1, "e1", "e2.1", "e1"), ["persisted 1"]);
    assert_eq!(bench.advance("e2.1", "", "e2.1"), ["confirmed 1 at e2.1"]);
    assert_eq!(bench.session.status().unconfirmed_commits, 0);
}

#[test]
fn one_push_runs_at_a_time_and_the_next_takes_all_that_waited() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    assert_eq!(bench.commit("b"), [""; 0]);
    assert_eq!(bench.commit("c"), [""; 0]);
    let lines = bench.accept(1, "e0", "e1r3", "e0");
    assert_eq!(lines, ["persisted 1", "push 2 on e1r3: e2=b e3=c"]);
    assert_eq!(bench.accept(2, "e1r3", "e3r3", "e1r3"), ["persisted 3", "confirmed 1 at e1r3"]);
}

#[test]
fn a_push_takes_whole_units_up_to_its_limit() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    for _ in 0..400 {
        bench.commit("bcd");
    }
    let lines = bench.accept(1, "e0", "e1", "e0");
    assert_eq!(lines[1].matches('=').count(), 999);
}

#[test]
fn a_push_takes_as_many_bytes_as_it_may_have() {
    let mut config = SessionConfig::default();
    config.max_push_bytes = 2 * r#""b""#.len();
    let mut bench = Bench::with("e0", config);
    bench.drive();
    bench.attach(0, &[]);
    bench.commit("a");
    for letter in ["b", "c", "d", "e"] {
        bench.commit(letter);
    }
    assert_eq!(bench.accept(1, "e0", "e1", "e0")[1], "push 2 on e1: e2=b e3=c");
    assert_eq!(bench.accept(2, "e1", "e3", "e0")[1], "push 3 on e3: e4=d e5=e");
}

#[test]
fn what_cannot_be_committed_leaves_no_trace() {
    let bench = Bench::attached("e0");
    let prepare = |events| bench.session.prepare(events);
    assert!(matches!(prepare(vec![]), Err(CommitError::Empty)));
    assert!(matches!(prepare(unit(&"a".repeat(101))), Err(CommitError::TooLarge { events: 101, .. })));
    assert!(prepare(unit(&"A".repeat(101))).is_ok(), "client-only events are not pushed to the backend");
    let args = Args::parse("9007199254740993").unwrap();
    let not_js = NewEvent { name: name("e"), args, kind: EventKind::Synced };
    assert!(matches!(prepare(vec![not_js]), Err(CommitError::Args(_))));
    let large = Args::parse(format!("\"{}\"", "x".repeat(895_000))).unwrap();
    let large = NewEvent { name: name("e"), args: large, kind: EventKind::ClientOnly };
    assert!(matches!(prepare(vec![large]), Err(CommitError::TooLarge { .. })));
    let half = Args::parse(format!("\"{}\"", "x".repeat(447_500))).unwrap();
    let half = NewEvent { name: name("e"), args: half, kind: EventKind::ClientOnly };
    assert!(prepare(vec![half.clone()]).is_ok());
    assert!(matches!(prepare(vec![half.clone(), half]), Err(CommitError::TooLarge { events: 0, .. })));
    assert_eq!(bench.session.status().unconfirmed_commits, 0);
}

#[test]
fn a_commit_may_be_just_as_large_as_a_push() {
    let one = Bench::attached("e0").session.prepare(unit("a")).unwrap().events[0].encoded_len();
    for (max_event_bytes, max_batch_events, max_batch_bytes, text, is_taken) in [
        (one, 3, 2 * one, "aa", true),
        (one, 3, 2 * one, "aaa", false),
        (one, 3, 2 * one - 1, "aa", false),
        (one, 3, 9 * one, "aaa", true),
        (one, 3, 9 * one, "aaaa", false),
        (one - 1, 3, 9 * one, "a", false),
        (one - 1, 3, 9 * one, "A", false),
    ] {
        let mut config = SessionConfig::default();
        config.limits = Limits { max_event_bytes, max_batch_events, max_batch_bytes };
        let mut bench = Bench::with("e0", config);
        bench.drive();
        bench.attach(0, &[]);
        let prepared = bench.session.prepare(unit(text));
        assert_eq!(prepared.is_ok(), is_taken, "{text} under {:?}", bench.config.limits);
    }
}

/// What is pushed and not confirmed counts as well as what is not pushed.
#[test]
fn no_more_is_taken_while_too_much_is_unconfirmed() {
    let mut config = SessionConfig::default();
    config.max_pending_events = 3;
    let mut bench = Bench::with("e0", config);
    bench.drive();
    bench.attach(0, &[]);
    bench.commit("a");
    bench.accept(1, "e0", "e1", "e0");
    let is_taken = |bench: &Bench, text| match bench.session.prepare(unit(text)) {
        Ok(_) => true,
        Err(CommitError::TooManyPending { limit: 3 }) => false,
        Err(error) => panic!("{error}"),
    };
    assert!(is_taken(&bench, "bc") && !is_taken(&bench, "bcd"));
    bench.commit("b");
    assert!(is_taken(&bench, "c") && !is_taken(&bench, "cd") && !is_taken(&bench, "cde"));
    bench.accept(2, "e1", "e2", "e2");
    assert!(is_taken(&bench, "cde"));
}

#[test]
fn a_refused_push_waits_for_what_it_lacks() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    assert_eq!(bench.refuse(1), [""; 0]);
    assert_eq!(bench.advance("e0", "e1=x", "e1"), ["apply back to e0 + e1=x e2r1=a", "push 2 on e1: e2r1=a"]);
}

#[test]
fn a_refused_push_asks_for_what_does_not_come() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.refuse(1);
    let (waited, lines) = bench.wait();
    assert_eq!(waited, Duration::from_millis(200));
    assert_eq!(lines, ["refresh 1 at e0", "push 2 on e0: e1=a"]);
    // Items under way belong to the stream before.
    bench.begin_stream(1);
    assert_eq!(bench.accept(2, "e0", "e1", "e0"), ["persisted 1"]);
}

#[test]
fn a_refusal_that_items_have_overtaken_is_answered_at_once() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.advance("e0", "e1=x", "e1");
    assert_eq!(bench.refuse(1), ["push 2 on e1: e2r1=a"]);
}

#[test]
fn a_push_that_is_not_answered_ends_the_attachment() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    let (waited, lines) = bench.wait();
    assert_eq!((waited, lines), (bench.config.push_timeout, vec!["attach at e0, last 1".to_owned()]));
}

#[test]
fn an_answer_to_another_attempt_does_not_end_the_one_under_way() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    assert_eq!(bench.refuse(7), [""; 0]);
    assert_eq!(bench.commit("b"), [""; 0], "a second push runs beside the first");
}

#[test]
fn a_commit_that_the_backend_refused_is_taken_back_wherever_it_is() {
    let mut bench = Bench::attached("e0");
    bench.commit("x");
    bench.commit("a");
    bench.accept(1, "e0", "e1", "e0");
    let rebase = livestore_traits::SessionPayload::Rebase {
        after: crate::bench::num("e1"),
        rollback_to: crate::bench::num("e0"),
        events: crate::bench::events(""),
        settled: crate::bench::num("e0"),
    };
    let lines = bench.item(rebase, &[1]);
    assert_eq!(lines, ["gone 1", "apply back to e0 + e1r1=a"]);
    assert_eq!(bench.refuse(2), ["push 3 on e0: e1r1=a"]);
}

#[test]
fn a_client_that_changed_its_id_pushes_under_the_new_one() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.client = "new";
    let lines = bench.refuse(1);
    assert_eq!(lines, ["apply back to e0 + e1r1=a", "push 2 on e0: e1r1=a"]);
    assert_eq!(bench.session.prepare(unit("b")).unwrap().events[0].client_id.as_str(), "new");
}
