//! Sessions that lose their leader, or whose leader lost its log.

use livestore_traits::GlobalSeq;

use crate::bench::Bench;

#[test]
fn a_session_that_lost_its_leader_goes_on_and_attaches_to_the_next() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    assert!(bench.session.status().attached);
    bench.session.link_lost(bench.now);
    assert!(!bench.session.status().attached);
    assert_eq!(bench.commit("b"), [""; 0]);
    let (waited, lines) = bench.wait();
    assert!(waited <= bench.config.backoff_min);
    assert_eq!(lines, ["attach at e0, last 2"]);
    assert_eq!(bench.attach(0, &[]), ["push 2 on e0: e1=a e2=b"]);
}

#[test]
fn waits_for_a_leader_grow_until_one_is_heard() {
    let mut bench = Bench::attached("e0");
    let mut waits = Vec::new();
    for _ in 0..12 {
        bench.session.link_lost(bench.now);
        waits.push(bench.wait().0);
    }
    assert!(waits[11] >= bench.config.backoff_max / 2, "{waits:?}");
    bench.attach(0, &[]);
    bench.advance("e0", "e1=x", "e1");
    bench.advance("e1", "e2=y", "e2");
    bench.session.link_lost(bench.now);
    assert!(bench.wait().0 <= bench.config.backoff_min);
}

/// The leader crashed between its log and the answer: pushing the commit again was refused each time.
#[test]
fn what_was_persisted_unheard_is_not_pushed_again_but_awaited() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.commit("b");
    bench.session.link_lost(bench.now);
    bench.wait();
    assert_eq!(bench.attach(1, &[]), ["persisted 1"]);
    assert_eq!(bench.advance("e0", "e1=a#1.0|", "e0"), ["push 2 on e1: e2=b"]);
}

#[test]
fn commits_that_went_while_it_was_away_are_taken_back_before_anything_is_merged() {
    let mut bench = Bench::attached("e0");
    bench.commit("x");
    bench.commit("a");
    bench.session.link_lost(bench.now);
    bench.wait();
    assert_eq!(
        bench.attach(1, &[1]),
        ["gone 1", "apply back to e0 + e1r1=a", "persisted 1", "push 2 on e0: e1r1=a"]
    );
}

#[test]
fn what_it_was_told_before_is_not_told_again() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.accept(1, "e0", "e1", "e1");
    bench.session.link_lost(bench.now);
    bench.wait();
    assert_eq!(bench.attach(1, &[1]), [""; 0]);
}

/// Receipts of commits that only a lost log had were waited for without end, and with them all later ones.
#[test]
fn a_session_whose_log_is_gone_is_told_what_is_lost_and_goes_on() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.accept(1, "e0", "e1", "e0");
    bench.commit("b");
    bench.session.link_lost(bench.now);
    bench.wait();
    assert_eq!(bench.attach(0, &[]), ["lost 1", "push 3 on e1: e2=b"]);
    let lines = bench.rebase("e1", "e0", "", "e0");
    assert_eq!(lines, ["apply back to e0 + e1r1=b"]);
    assert_eq!(bench.refuse(3), ["push 4 on e0: e1r1=b"]);
    assert_eq!(bench.accept(4, "e0", "e1", "e1"), ["persisted 2", "confirmed 2 at e1"]);
    assert_eq!(bench.session.status().settled_head.global, GlobalSeq(1));
}

/// Neither had come back on the stream, so both are pending still.
#[test]
fn nothing_is_lost_that_is_still_pending() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.commit("b");
    bench.session.link_lost(bench.now);
    bench.wait();
    assert_eq!(bench.attach(2, &[]), ["persisted 2"]);
    bench.session.link_lost(bench.now);
    bench.wait();
    assert_eq!(bench.attach(1, &[]), [""; 0]);
    assert_eq!(bench.advance("e0", "e1=a#1.0|", "e0"), ["push 2 on e1: e2=b"]);
}

#[test]
fn what_is_lost_is_told_where_nothing_is_pending_too() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.accept(1, "e0", "e1", "e0");
    bench.commit("b");
    bench.accept(2, "e1", "e2", "e0");
    bench.session.link_lost(bench.now);
    bench.wait();
    assert_eq!(bench.attach(1, &[]), ["lost 2"]);
    bench.session.link_lost(bench.now);
    bench.wait();
    assert_eq!(bench.attach(0, &[]), ["lost 1"]);
}

#[test]
fn a_session_that_starts_again_under_its_id_counts_on() {
    let mut bench = Bench::new("e4");
    bench.drive();
    assert_eq!(bench.attach(7, &[]), ["persisted 7"]);
    assert_eq!(bench.session.prepare(crate::bench::unit("a")).unwrap().events[0].commit.unwrap().n, 8);
}
