//! What a leader does when the backend's history is not the one it knows.

use livestore_engine::processor::{Diverged, Input, PullId, SyncActivity};
use livestore_traits::{GlobalSeq, Limits, PageInfo, PullError, PushError, SyncedEvent};

use crate::bench::{Bench, capabilities, foreign, own};
use crate::support::backend_id;

/// A leader with `e1=x e2=a e2.1=c` confirmed and `e3=b` pending, whose pull then finds another backend.
fn diverged(policy: Diverged) -> (Bench, Vec<String>) {
    let mut bench = Bench::new(|config| config.diverged = policy);
    bench.page(0, [foreign(1, "x")]);
    bench.attach("s1", "e1");
    bench.push("s1", 1, "e1", 1, "aC");
    bench.acknowledge(1, 2);
    bench.push("s1", 2, "e2.1", 2, "b");
    bench.backend = "restored";
    let lines = bench.pull_ends(Some(PullError::Diverged("another one".to_owned())));
    (bench, lines)
}

#[test]
fn a_reset_keeps_what_both_histories_share_and_what_is_not_confirmed() {
    let (mut bench, lines) = diverged(Diverged::Reset);
    assert_eq!(lines, ["pull 1 after e0"]);
    assert_eq!(bench.leader.status().activity, SyncActivity::Comparing);
    let lines = bench.page(0, [foreign(1, "x")]);
    assert_eq!(lines[1], "log reset at e1 + e1.1r1=c e2r1=b, settled e1.1r1, s1 lost 1");
    assert_eq!(lines[2], "s1 ← rebase e3 to e1 + e1.1r1=c e2r1=b, settled e1.1r1, lost 1");
    assert_eq!(bench.log.archived.len(), 3);
    assert!(bench.wait().1[0].ends_with("after e1"));
    assert_eq!(bench.page(1, []).last().unwrap(), "push 3 after e1: e2=b");
}

/// Another client pushed its history again. Over a wire that carries no commits the archived event was taken for the pending
/// one at its number, whose args it replaced: those were lost.
#[test]
fn archived_events_that_come_back_are_no_pending_ones() {
    let (mut bench, _) = diverged(Diverged::Reset);
    bench.page(0, [foreign(1, "x")]);
    bench.wait();
    assert_eq!(bench.page(1, []).last().unwrap(), "push 3 after e1: e2=b");
    bench.ahead(3, 2, None);
    let returning = SyncedEvent { commit: None, ..own(2, 1, "a") };
    let lines = bench.page(1, [returning]);
    assert_eq!(lines[0], "log back to e1.1r1 + e2r2=a e3r2=b, settled e2r2");
}

#[test]
fn archived_events_that_come_back_after_a_restart_are_no_pending_ones() {
    let (mut bench, _) = diverged(Diverged::Reset);
    bench.page(0, [foreign(1, "x")]);
    let (mut next, first) = Bench::on(bench.log.clone(), bench.config);
    assert_eq!(first, ["pull 0 after e1"]);
    next.backend = bench.backend;
    let returning = SyncedEvent { commit: None, ..own(2, 1, "a") };
    let lines = next.page(1, [returning]);
    assert_eq!(lines[0], "log back to e1.1r1 + e2r2=a e3r2=b, settled e2r2");
}

#[test]
fn a_reset_ends_at_the_first_difference() {
    let (mut bench, _) = diverged(Diverged::Reset);
    let lines = bench.page(0, [foreign(1, "y"), foreign(2, "z")]);
    assert_eq!(lines[1], "log reset at e0 + e0.1r1=c e1r1=b, settled e0.1r1, s1 lost 1");
    bench.wait();
    let lines = bench.page(0, [foreign(1, "y"), foreign(2, "z")]);
    assert_eq!(lines[0], "log back to e0.1r1 + e1r2=y e2r2=z e3r2=b, settled e2r2");
}

#[test]
fn a_backend_that_only_has_another_name_is_taken_over() {
    let (mut bench, _) = diverged(Diverged::Reset);
    let lines = bench.page(0, [foreign(1, "x"), own(2, 1, "a")]);
    assert!(lines.contains(&"log, settled e2.1".to_owned()), "{lines:?}");
    assert!(bench.log.archived.is_empty());
    assert!(bench.wait().1[0].ends_with("after e2"));
    assert_eq!(bench.page(2, []).last().unwrap(), "push 3 after e2: e3=b");
}

#[test]
fn reseeding_pushes_the_confirmed_history_again() {
    let (mut bench, _) = diverged(Diverged::Reseed);
    let lines = bench.page(0, []);
    assert_eq!(lines, ["push 3 after e0: e1=x e2=a"]);
    assert_eq!(bench.pushed.as_ref().unwrap().backend_id, Some(backend_id("restored")));
    // What comes on the pull meanwhile changes nothing.
    assert_eq!(bench.page(0, []), [""; 0]);
    assert_eq!(bench.acknowledge(3, 2), ["stop pulling", "log, settled e2.1"]);
    bench.wait();
    assert_eq!(bench.page(2, []).last().unwrap(), "push 4 after e2: e3=b");
}

/// The part of a unit that had come was taken for pushed, and the client was left with a history that nobody else had.
#[test]
fn reseeding_pushes_a_unit_of_which_only_a_part_ever_came() {
    let mut bench = Bench::new(|config| config.diverged = Diverged::Reseed);
    bench.page(0, [foreign(1, "x"), SyncedEvent { unit_end: false, ..foreign(2, "y") }]);
    bench.backend = "restored";
    bench.pull_ends(Some(PullError::Diverged("another one".to_owned())));
    assert_eq!(bench.page(0, []), ["push 1 after e0: e1=x"]);
    assert_eq!(bench.acknowledge(1, 1), ["push 2 after e1: e2=y"]);
    assert_eq!(bench.acknowledge(2, 2), ["stop pulling", "log, settled e2"]);
}

#[test]
fn reseeding_begins_anew_when_its_push_fails_and_resets_when_it_is_refused() {
    let (mut bench, _) = diverged(Diverged::Reseed);
    bench.page(0, []);
    assert_eq!(bench.ahead(3, 1, None), ["stop pulling"]);
    assert!(bench.wait().1[0].ends_with("after e0"));
    assert_eq!(bench.page(0, [foreign(1, "x")]), ["push 4 after e1: e2=a"]);
    let lines = bench.refuse(4, PushError::ClientIdTaken);
    assert_eq!(lines[1], "log reset at e1 + e1.1r1=c e2r1=b, settled e1.1r1, s1 lost 1");
}

#[test]
fn a_history_is_compared_page_by_page_and_ends_with_its_pull() {
    let (mut bench, _) = diverged(Diverged::Reset);
    for (after, events) in [(0, vec![foreign(1, "x")]), (1, vec![])] {
        let page = bench.a_page(after, events, PageInfo::More { remaining: None });
        assert_eq!(bench.give(Input::Page(PullId(bench.pull), page)), [""; 0]);
    }
    // A backend whose pages do not tell what follows ends the pull when it has no more.
    let lines = bench.pull_ends(None);
    assert_eq!(lines[1], "log reset at e1 + e1.1r1=c e2r1=b, settled e1.1r1, s1 lost 1");
}

#[test]
fn a_history_that_is_replaced_while_it_is_compared_is_compared_anew() {
    let (mut bench, _) = diverged(Diverged::Reset);
    let page = bench.a_page(0, [foreign(1, "x")], PageInfo::More { remaining: None });
    assert_eq!(bench.give(Input::Page(PullId(bench.pull), page)), [""; 0]);
    bench.backend = "another";
    assert_eq!(bench.page(1, [own(2, 1, "a")]), ["pull 2 after e0"]);
    let lines = bench.page(0, [foreign(1, "y")]);
    assert_eq!(lines[1], "log reset at e0 + e0.1r1=c e1r1=b, settled e0.1r1, s1 lost 1");
}

#[test]
fn a_comparison_that_diverges_is_begun_anew_later() {
    let (mut bench, _) = diverged(Diverged::Reset);
    assert_eq!(bench.pull_ends(Some(PullError::Diverged("again".to_owned()))), ["stop pulling"]);
    assert_eq!(bench.wait().1, ["pull 2 after e0"]);
}

#[test]
fn a_history_that_goes_on_is_taken_over_once_that_is_seen() {
    let (mut bench, _) = diverged(Diverged::Reset);
    for (after, events, expected) in [
        // It may end here, and part from ours with what it has not sent yet.
        (0, vec![foreign(1, "x"), own(2, 1, "a")], vec![]),
        (2, vec![foreign(3, "z")], vec!["stop pulling", "log, settled e2.1"]),
    ] {
        let page = bench.a_page(after, events, PageInfo::More { remaining: None });
        assert_eq!(bench.give(Input::Page(PullId(bench.pull), page)), expected, "after e{after}");
    }
}

/// Each commit is reported once, however many events it has, and whichever sessions have commits of the same number.
#[test]
fn every_archived_commit_is_reported_once() {
    let mut bench = Bench::new(|_| {});
    bench.page(0, []);
    bench.attach("s1", "e0");
    bench.attach("s2", "e0");
    bench.push("s1", 1, "e0", 1, "ab");
    bench.acknowledge(1, 2);
    bench.push("s2", 1, "e2", 1, "c");
    bench.acknowledge(2, 3);
    bench.push("s1", 2, "e3", 2, "d e");
    bench.acknowledge(3, 5);
    bench.backend = "restored";
    bench.pull_ends(Some(PullError::Diverged("another one".to_owned())));
    let lines = bench.page(0, []);
    assert_eq!(lines[1], "log reset at e0, settled e0, s1 lost 1, s1 lost 2, s1 lost 3, s2 lost 1");
}

/// A leader that reseeds and whose limits let no unit of the history through.
fn reseeding_under_limits() -> Bench {
    let (mut bench, _) = diverged(Diverged::Reseed);
    let mut capabilities = capabilities(true);
    capabilities.limits.max_batch_bytes = 1;
    bench.give(Input::Capabilities(capabilities));
    bench
}

/// What one backend took from a client with other limits was archived, because it was too large for our own.
#[test]
fn reseeding_asks_the_backend_whether_it_takes_what_is_beyond_the_limits() {
    let mut bench = reseeding_under_limits();
    assert_eq!(bench.page(0, []), ["push 3 after e0: e1=x"]);
    assert_eq!(bench.acknowledge(3, 1), ["push 4 after e1: e2=a"]);
    assert_eq!(bench.acknowledge(4, 2), ["stop pulling", "log, settled e2.1"]);
}

#[test]
fn reseeding_asks_about_a_whole_unit() {
    let mut bench = Bench::new(|config| config.diverged = Diverged::Reseed);
    bench.page(0, []);
    bench.attach("s1", "e0");
    bench.push("s1", 1, "e0", 1, "aB C cd");
    bench.acknowledge(1, 3);
    let mut capabilities = capabilities(true);
    capabilities.limits.max_batch_bytes = 1;
    bench.give(Input::Capabilities(capabilities));
    bench.backend = "restored";
    bench.pull_ends(Some(PullError::Diverged("another one".to_owned())));
    assert_eq!(bench.page(0, []), ["push 2 after e0: e1=a"]);
    assert_eq!(bench.acknowledge(2, 1), ["push 3 after e1: e2=c e3=d"]);
    assert_eq!(bench.acknowledge(3, 3), ["stop pulling", "log, settled e3"]);
}

#[test]
fn reseeding_resets_when_a_single_unit_is_too_large() {
    let mut bench = reseeding_under_limits();
    bench.page(0, []);
    let lines = bench.refuse(3, PushError::TooLarge { limits: Limits::DEFAULT });
    assert_eq!(lines[1], "log reset at e0 + e0.1r1=c e1r1=b, settled e0.1r1, s1 lost 1");
}

#[test]
fn reseeding_ends_where_the_backend_calls_a_push_invalid() {
    let (mut bench, _) = diverged(Diverged::Reseed);
    bench.page(0, []);
    bench.refuse(3, PushError::Invalid("no chain".to_owned()));
    assert_eq!(bench.leader.status().activity, SyncActivity::Off);
    assert!(bench.log.archived.is_empty());
}

/// The log is read in stretches, and one of them may have nothing that a backend is told.
#[test]
fn reseeding_reads_on_over_client_only_events() {
    let mut bench = Bench::new(|config| config.diverged = Diverged::Reseed);
    bench.page(0, []);
    bench.attach("s1", "e0");
    bench.push("s1", 1, "e0", 1, "a");
    bench.acknowledge(1, 1);
    bench.push("s1", 2, "e1", 2, &vec!["C"; 1200].join(" "));
    bench.push("s1", 3, "e1.1200", 1202, "b");
    bench.acknowledge(2, 2);
    bench.backend = "restored";
    bench.pull_ends(Some(PullError::Diverged("another one".to_owned())));
    assert_eq!(bench.page(0, []), ["push 3 after e0: e1=a"]);
    assert_eq!(bench.acknowledge(3, 1), ["push 4 after e1: e2=b"]);
    assert_eq!(bench.acknowledge(4, 2), ["stop pulling", "log, settled e2"]);
}

/// Its beginning was passed over, and the next push did not follow what the backend had.
#[test]
fn reseeding_pushes_a_unit_that_is_longer_than_a_read() {
    let mut bench = Bench::new(|config| config.diverged = Diverged::Reseed);
    bench.page(0, []);
    bench.attach("s1", "e0");
    bench.push("s1", 1, "e0", 1, &format!("a{}b", "C".repeat(1200)));
    bench.acknowledge(1, 2);
    bench.push("s1", 2, "e2", 2, "c");
    bench.acknowledge(2, 3);
    bench.backend = "restored";
    bench.pull_ends(Some(PullError::Diverged("another one".to_owned())));
    assert_eq!(bench.page(0, []), ["push 3 after e0: e1=a e2=b e3=c"]);
    assert_eq!(bench.acknowledge(3, 3), ["stop pulling", "log, settled e3"]);
}

#[test]
fn reseeding_halves_a_batch_that_is_too_large_for_no_known_reason() {
    let (mut bench, _) = diverged(Diverged::Reseed);
    assert_eq!(bench.page(0, []), ["push 3 after e0: e1=x e2=a"]);
    bench.refuse(3, PushError::TooLarge { limits: Limits::BACKEND });
    bench.wait();
    assert_eq!(bench.page(0, []), ["push 4 after e0: e1=x"]);
    assert_eq!(bench.acknowledge(4, 1), ["push 5 after e1: e2=a"]);
}

#[test]
fn shutting_down_makes_durable_first_what_sessions_have_pushed() {
    let mut bench = Bench::new(|config| config.diverged = Diverged::Shutdown);
    bench.page(0, [foreign(1, "x")]);
    bench.attach("s1", "e1");
    let push = bench.push_input("s1", 1, "e1", 1, "a");
    bench.queue(push);
    let lines = bench.pull_ends(Some(PullError::Diverged("another one".to_owned())));
    assert_eq!(lines[0], "log + e2=a, settled e1, s1 through 1");
    assert!(lines.contains(&"stop".to_owned()), "{lines:?}");
}

#[test]
fn ignoring_stops_syncing_and_nothing_else() {
    let (mut bench, lines) = diverged(Diverged::Ignore);
    assert_eq!(lines, ["stop pulling"]);
    assert_eq!(bench.leader.status().activity, SyncActivity::Off);
    assert_eq!(
        bench.push("s1", 3, "e3", 3, "d"),
        ["log + e4=d, settled e2.1, s1 through 3", "s1 ← accepted 3: e3 to e4, settled e2.1"]
    );
    assert_eq!(bench.leader.poll_timeout(), None);
}

#[test]
fn a_head_below_the_parent_of_a_push_is_a_divergence() {
    let mut bench = Bench::caught_up();
    bench.page(0, [foreign(1, "x"), foreign(2, "y")]);
    bench.attach("s1", "e2");
    bench.push("s1", 1, "e2", 1, "a");
    assert_eq!(bench.ahead(1, 1, None), ["pull 1 after e0"]);
    assert_eq!(bench.leader.status().activity, SyncActivity::Comparing);
}

/// Compared with the head as it is when the answer comes, an honest backend was taken for another one.
#[test]
fn a_head_below_ours_is_none_if_the_push_began_before_it() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.push("s1", 1, "e0", 1, "a");
    bench.page(0, [foreign(1, "x"), foreign(2, "y")]);
    assert_eq!(bench.ahead(1, 1, None), ["push 2 after e2: e3=a"]);
}

/// A backend that says so whatever we do was compared with as fast as it could answer.
#[test]
fn a_backend_that_diverges_again_and_again_is_not_asked_at_once() {
    let (mut bench, _) = diverged(Diverged::Reset);
    let all: Vec<SyncedEvent> = vec![foreign(1, "x"), own(2, 1, "a")];
    for _ in 0..3 {
        let lines = bench.page(0, all.clone());
        assert!(!lines.iter().any(|line| line.starts_with("pull")), "{lines:?}");
        bench.wait();
        bench.pull_ends(Some(PullError::Diverged("again".to_owned())));
    }
    assert_eq!(bench.leader.status().upstream_head.global, GlobalSeq(2));
}
