//! What a session does with its leader's items.

use livestore_traits::{Held, LeaderItem, SessionPayload};

use crate::bench::{Bench, events, num};
use crate::support::client_id;

fn held(persisted: u64, settled: &str, unsettled: &[(u64, &str)]) -> Held {
    let unsettled = unsettled.iter().map(|(n, at)| (*n, num(at))).collect();
    Held { persisted, settled: num(settled), unsettled }
}

#[test]
fn events_of_others_are_applied() {
    let mut bench = Bench::attached("e1");
    assert_eq!(bench.advance("e1", "e2=x e2.1=y#9.0|", "e2"), ["apply + e2=x e2.1=y"]);
}

#[test]
fn own_events_are_recognised_by_their_identity_and_take_the_leaders_stamp() {
    let mut bench = Bench::attached("e0");
    bench.commit("ab");
    let lines = bench.advance("e0", "e1r4=a#1.0 e2r4=b#1.1|", "e0");
    assert_eq!(lines, ["persisted 1"]);
    assert_eq!(bench.session.status().upstream_head.to_string(), "e2r4");
}

#[test]
fn an_equal_event_of_another_session_is_not_ours() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    assert_eq!(bench.advance("e0", "e1=a", "e1"), ["apply back to e0 + e1=a e2r1=a"]);
}

/// Commits that settle as they are need no undo data, also where nothing else is ever applied.
#[test]
fn undo_data_is_forgotten_when_much_was_settled() {
    let mut bench = Bench::attached("e0");
    let mut forgotten = Vec::new();
    for n in 1..=1100_u64 {
        let (before, at) = (format!("e{}", n - 1), format!("e{n}"));
        bench.commit("a");
        bench.accept(n, &before, &at, &before);
        if bench.advance(&at, "", &at).contains(&"apply +".to_owned()) {
            forgotten.push(n);
        }
    }
    // Each counts when the leader has it, and when it settles.
    assert_eq!(forgotten, [500, 1000]);
}

/// Items of the stream before a refresh were made for another version.
#[test]
fn items_of_an_older_stream_are_ignored() {
    let mut bench = Bench::attached("e1");
    assert_eq!(bench.advance("e5", "e6=x", "e5"), ["refresh 1 at e1"]);
    let payload = || SessionPayload::Advance { after: num("e1"), events: events("e2=y"), settled: num("e1") };
    let item =
        |stream| LeaderItem { stream, payload: payload(), gone: Vec::new(), client_id: client_id("c") };
    bench.session.item(bench.now, item(0));
    assert_eq!(bench.drive(), [""; 0]);
    bench.session.item(bench.now, item(1));
    assert_eq!(bench.drive(), ["taken", "apply + e2=y"]);
    bench.session.link_lost(bench.now);
    bench.session.item(bench.now, item(1));
    assert_eq!(bench.drive(), [""; 0]);
}

#[test]
fn a_repeat_is_recognised_by_the_full_number() {
    let mut bench = Bench::attached("e0");
    bench.advance("e0", "e1=x e2=y", "e0");
    assert_eq!(bench.advance("e0", "e1=x e2=y e3=z", "e0"), ["apply + e3=z"]);
    // Another version of a known position is no repeat.
    assert_eq!(bench.advance("e0", "e1r1=x e2r1=z", "e0"), ["refresh 1 at e3"]);
}

#[test]
fn an_item_for_another_version_makes_the_session_ask_from_its_own() {
    let mut bench = Bench::attached("e0");
    assert_eq!(bench.advance("e5", "e6=x", "e5"), ["refresh 1 at e0"]);
    bench.begin_stream(1);
    assert_eq!(bench.rebase("e4", "e0", "e1r1=x", "e0"), ["refresh 2 at e0"]);
    bench.begin_stream(2);
    assert_eq!(bench.advance("e0", "e1=x", "e1"), ["apply + e1=x"]);
}

#[test]
fn a_rebase_of_the_leader_rolls_back_and_goes_on() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.accept(1, "e0", "e1", "e0");
    bench.commit("b");
    let lines = bench.rebase("e1", "e0", "e1r1=x e2r1=a#1.0|", "e1r1");
    assert_eq!(lines, ["apply back to e0 + e1r1=x e2r1=a e3r1=b"]);
    assert_eq!(bench.session.status().rebases, 1);
    assert_eq!(bench.advance("e2r1", "", "e2r1"), ["confirmed 1 at e2r1"]);
}

#[test]
fn a_commit_is_persisted_with_its_last_event() {
    let mut bench = Bench::attached("e0");
    bench.commit("ab");
    assert_eq!(bench.advance("e0", "e1=a#1.0", "e0"), [""; 0]);
    assert_eq!(bench.advance("e1", "e2=b#1.1|", "e0"), ["persisted 1"]);
}

/// A commit that rolled back is not confirmed by what then settles at its old position.
#[test]
fn a_receipt_follows_its_commit_through_rebases() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.accept(1, "e0", "e1", "e0");
    assert_eq!(bench.rebase("e1", "e0", "e1r1=x", "e1r1"), ["apply back to e0 + e1r1=x"]);
    assert_eq!(bench.session.status().unconfirmed_commits, 1);
    assert_eq!(bench.advance("e1r1", "e2r1=a#1.0|", "e1r1"), ["apply + e2r1=a"]);
    assert_eq!(bench.advance("e2r1", "", "e2r1"), ["confirmed 1 at e2r1"]);
}

#[test]
fn a_new_history_behind_what_is_settled_makes_the_session_start_anew() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.accept(1, "e0", "e1", "e1");
    bench.commit("b");
    assert_eq!(bench.rebase("e1", "e0", "e1r1=x", "e1r1"), [""; 0]);
    assert_eq!(bench.wait().1, ["restart"]);
    bench.session.restarted(bench.now, num("e1r1"), &held(1, "e1r1", &[]));
    assert_eq!(bench.session.status().rebases, 1);
    assert_eq!(bench.drive(), ["apply + e2r2=b", "attach at e1r1, last 2"]);
    assert_eq!(bench.attach(1, &[1]), ["push 3 on e1r1: e2r2=b"]);
}

#[test]
fn commits_that_a_snapshot_holds_are_not_pushed_again() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.commit("b");
    bench.fails = true;
    assert_eq!(bench.advance("e0", "e1=x", "e1"), ["apply fails"]);
    assert_eq!(bench.wait().1, ["restart"]);
    bench.session.restarted(bench.now, num("e2"), &held(1, "e1", &[(1, "e2")]));
    assert_eq!(bench.drive(), ["apply + e3r2=b", "persisted 1", "attach at e2, last 2"]);
    bench.attach(1, &[]);
    assert_eq!(bench.advance("e2", "", "e2"), ["confirmed 1 at e2"]);
}

/// They were taken for the last event of the snapshot, and a rollback behind that but not behind them lost their place.
#[test]
fn commits_that_a_snapshot_holds_settle_after_a_rollback_behind_them() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.commit("b");
    bench.commit("c");
    bench.fails = true;
    assert_eq!(bench.advance("e0", "e1=x", "e1"), ["apply fails"]);
    assert_eq!(bench.wait().1, ["restart"]);
    let held = held(3, "e2", &[(2, "e3"), (3, "e4")]);
    bench.session.restarted(bench.now, num("e5"), &held);
    assert_eq!(bench.drive(), ["persisted 3", "attach at e5, last 3"]);
    bench.attach(3, &[]);
    assert_eq!(bench.advance("e5", "", "e2"), ["confirmed 1 at e2"]);
    assert_eq!(
        bench.rebase("e5", "e3", "e4r1=y", "e4r1"),
        ["apply back to e3 + e4r1=y", "confirmed 2 at e3"]
    );
    assert_eq!(bench.advance("e4r1", "e5r1=c#3.0|", "e5r1"), ["apply + e5r1=c", "confirmed 3 at e5r1"]);
}

/// A snapshot tells how far the session is persisted, not what of that is gone: what was refused meanwhile was reported as
/// confirmed.
#[test]
fn a_commit_that_was_gone_before_a_snapshot_is_not_confirmed_by_it() {
    let mut bench = Bench::attached("e0");
    bench.commit("a");
    bench.fails = true;
    assert_eq!(bench.advance("e0", "e1=x", "e1"), ["apply fails"]);
    assert_eq!(bench.wait().1, ["restart"]);
    bench.session.restarted(bench.now, num("e1"), &held(1, "e1", &[]));
    assert_eq!(bench.drive(), ["persisted 1", "attach at e1, last 1"]);
    assert_eq!(bench.attach(1, &[1]), ["gone 1"]);
    assert!(bench.advance("e1", "", "e1").is_empty());
}

/// A leader whose items could never be followed was asked for its state as fast as it could send it.
#[test]
fn starting_anew_without_success_waits_longer_and_longer() {
    let mut bench = Bench::attached("e6");
    let mut waits = Vec::new();
    for _ in 0..10 {
        bench.fails = true;
        assert_eq!(bench.rebase("e6", "e4", "", "e4"), ["apply fails"]);
        let (waited, lines) = bench.wait();
        assert_eq!(lines, ["restart"]);
        waits.push(waited);
        bench.session.restarted(bench.now, num("e6"), &held(0, "e6", &[]));
        bench.drive();
        bench.attach(0, &[]);
    }
    assert!(waits[9] > 20 * waits[0], "{waits:?}");
}
