//! The leader's pull: pages in any shape, and waiting for none of them for ever.

use std::time::Duration;

use livestore_engine::processor::{Input, PullId, SyncActivity};
use livestore_traits::{GlobalSeq, PageInfo, PullError, SyncedEvent};

use crate::bench::{Bench, capabilities, foreign, offline};

fn more() -> PageInfo {
    PageInfo::More { remaining: None }
}

#[test]
fn the_first_page_tells_which_backend_it_is() {
    let mut bench = Bench::new(|_| {});
    assert_eq!(bench.page(0, []), ["log, settled e0"]);
    assert_eq!(bench.log.heads.upstream.backend_id, Some(crate::support::backend_id("b")));
    assert_eq!(bench.leader.status().activity, SyncActivity::CaughtUp);
}

#[test]
fn a_page_with_a_gap_makes_the_leader_pull_again() {
    let mut bench = Bench::caught_up();
    assert_eq!(bench.page(1, [foreign(2, "y")]), ["pull 1 after e0"]);
    assert_eq!(bench.page(0, [foreign(1, "x"), foreign(2, "y")]), ["log + e1=x e2=y, settled e2"]);
}

#[test]
fn a_page_that_repeats_is_trimmed() {
    let mut bench = Bench::caught_up();
    bench.page(0, [foreign(1, "x")]);
    assert_eq!(bench.page(0, [foreign(1, "x"), foreign(2, "y")]), ["log + e2=y, settled e2"]);
}

#[test]
fn a_page_that_repeats_otherwise_is_a_divergence() {
    let mut bench = Bench::caught_up();
    bench.page(0, [foreign(1, "x")]);
    assert_eq!(bench.page(0, [foreign(1, "other")]), ["pull 1 after e0"]);
    assert_eq!(bench.leader.status().activity, SyncActivity::Comparing);
}

#[test]
fn a_page_that_repeats_what_is_too_old_to_compare_makes_the_leader_pull_from_its_cursor() {
    let mut bench = Bench::new(|config| config.tail_events = 1);
    bench.page(0, [foreign(1, "x"), foreign(2, "y")]);
    assert_eq!(bench.page(0, [foreign(1, "x"), foreign(2, "y")]), ["pull 1 after e2"]);
    assert_eq!(bench.page(2, [foreign(3, "z")]), ["log + e3=z, settled e3"]);
}

/// A page out of order brought the leader down; whoever runs the backend must not be able to.
#[test]
fn a_backend_that_breaks_the_rules_is_asked_again_later() {
    let mut bench = Bench::caught_up();
    let mut upside_down = bench.a_page(0, [foreign(2, "y"), foreign(1, "x")], PageInfo::CaughtUp);
    upside_down.through = GlobalSeq(2);
    upside_down.cursor.after = GlobalSeq(2);
    let huge = bench.a_page(0, [foreign(u64::MAX - 1, "x")], PageInfo::CaughtUp);
    for page in [upside_down, huge] {
        let pull = PullId(bench.pull);
        assert_eq!(bench.give(Input::Page(pull, page)), ["stop pulling"]);
        assert!(bench.leader.status().last_error.is_some());
        assert!(bench.wait().1[0].ends_with("after e0"));
    }
    assert_eq!(bench.page(0, [foreign(1, "x")]), ["log + e1=x, settled e1"]);
}

/// Each connection broke after one page, page and error were taken in together, and the page was forgotten.
#[test]
fn a_connection_that_always_breaks_after_one_page_makes_progress() {
    let mut bench = Bench::caught_up();
    for seq in 1..20 {
        let page = bench.a_page(seq - 1, [foreign(seq, "x")], more());
        bench.queue(Input::Page(PullId(bench.pull), page));
        bench.pull_ends(Some(PullError::Offline(offline())));
        assert_eq!(bench.wait().1, [format!("pull {seq} after e{seq}")]);
    }
    assert_eq!(bench.leader.status().upstream_head.global, GlobalSeq(19));
}

#[test]
fn a_pull_that_ends_is_opened_again_with_growing_waits() {
    let mut bench = Bench::caught_up();
    let mut waits = Vec::new();
    for _ in 0..12 {
        bench.pull_ends(Some(PullError::Offline(offline())));
        waits.push(bench.wait().0);
    }
    assert!(waits[0] <= Duration::from_millis(100) && waits[11] >= Duration::from_secs(15), "{waits:?}");
    bench.page(0, []);
    bench.pull_ends(None);
    assert!(bench.wait().0 <= Duration::from_millis(100), "success does not reset the wait");
}

#[test]
fn a_pull_that_is_silent_for_too_long_is_opened_again() {
    let mut bench = Bench::caught_up();
    let (waited, lines) = bench.wait();
    assert_eq!((waited, lines), (bench.config.silence_timeout, vec!["pull 1 after e0".to_owned()]));
}

#[test]
fn a_pull_is_silent_from_its_last_page_on() {
    let mut bench = Bench::caught_up();
    bench.now += bench.config.silence_timeout / 2;
    bench.page(0, [foreign(1, "x")]);
    assert_eq!(bench.wait(), (bench.config.silence_timeout, vec!["pull 1 after e1".to_owned()]));
}

#[test]
fn a_pull_without_credentials_is_tried_until_they_are_renewed() {
    let mut bench = Bench::caught_up();
    for _ in 0..5 {
        bench.pull_ends(Some(PullError::Unauthorized("expired".to_owned())));
        assert!(bench.wait().1[0].ends_with("after e0"));
    }
    assert_eq!(bench.page(0, [foreign(1, "x")]), ["log + e1=x, settled e1"]);
}

#[test]
fn a_backend_without_live_pull_is_asked_from_time_to_time() {
    let mut bench = Bench::new(|_| {});
    bench.give(Input::Capabilities(capabilities(false)));
    bench.page(0, [foreign(1, "x")]);
    assert_eq!(bench.pull_ends(None), [""; 0]);
    let (waited, lines) = bench.wait();
    assert!(waited <= bench.config.poll_interval && waited >= bench.config.poll_interval / 2);
    assert_eq!(lines, ["pull 1 after e1"]);
    bench.page(1, []);
    bench.pull_ends(None);
    // Between two polls it pushes, and what it lacks it asks for at once.
    bench.attach("s1", "e1");
    assert_eq!(bench.push("s1", 1, "e1", 1, "a").last().unwrap(), "push 1 after e1: e2=a");
    assert_eq!(bench.ahead(1, 2, None), ["pull 2 after e1"]);
}

#[test]
fn a_backend_whose_pages_do_not_tell_what_follows_is_pushed_to() {
    let mut bench = Bench::new(|_| {});
    let mut capabilities = capabilities(true);
    capabilities.page_info = false;
    bench.give(Input::Capabilities(capabilities));
    let page = bench.a_page(0, [], more());
    bench.give(Input::Page(PullId(0), page));
    bench.attach("s1", "e0");
    assert_eq!(bench.push("s1", 1, "e0", 1, "a").last().unwrap(), "push 1 after e0: e1=a");
}

/// Events in pages of a hundred, the last of which reaches the head.
fn pages(bench: &Bench, count: u64) -> Vec<Input> {
    let page = |begin: u64| {
        let events: Vec<SyncedEvent> = (begin + 1..=begin + 100).map(|seq| foreign(seq, "x")).collect();
        let info = if begin + 100 == count { PageInfo::CaughtUp } else { more() };
        Input::Page(PullId(bench.pull), bench.a_page(begin, events, info))
    };
    (0..count / 100).map(|index| page(index * 100)).collect()
}

/// Each page rolled back and renumbered everything pending: a catch-up after a long time offline never ended.
#[test]
fn a_catch_up_with_much_pending_rebases_it_a_few_times_only() {
    let mut bench = Bench::new(|_| {});
    bench.attach("s1", "e0");
    let units = vec!["a"; 20_000].join(" ");
    bench.push("s1", 1, "e0", 1, &units);
    for page in pages(&bench, 40_000) {
        bench.give(page);
    }
    let status = bench.leader.status();
    assert_eq!((status.upstream_head.global.0, status.pending_events), (40_000, 20_000));
    assert!(status.rebases <= 3, "{} rebases", status.rebases);
}

#[test]
fn gathering_ends_when_its_time_is_up() {
    let mut bench = Bench::caught_up();
    let page = bench.a_page(0, [foreign(1, "x")], more());
    assert_eq!(bench.give(Input::Page(PullId(0), page)), [""; 0]);
    let (waited, lines) = bench.wait();
    assert_eq!((waited, lines), (bench.config.gather_time, vec!["log + e1=x, settled e1".to_owned()]));
}

#[test]
fn gathering_ends_when_enough_bytes_are_there() {
    let mut bench = Bench::new(|config| config.gather_bytes = 2 * foreign(1, "x").encoded_len());
    for (after, expected) in [(0, vec![]), (1, vec!["log + e1=x e2=x, settled e2".to_owned()]), (2, vec![])] {
        let page = bench.a_page(after, [foreign(after + 1, "x")], more());
        assert_eq!(bench.give(Input::Page(PullId(0), page)), expected, "after e{after}");
    }
}

#[test]
fn pages_of_a_pull_that_was_given_up_are_ignored() {
    let mut bench = Bench::caught_up();
    bench.wait();
    let late = bench.a_page(0, [foreign(1, "x")], PageInfo::CaughtUp);
    assert_eq!(bench.give(Input::Page(PullId(0), late)), [""; 0]);
    assert_eq!(bench.give(Input::PullEnded(PullId(0), None)), [""; 0]);
    assert_eq!(bench.leader.status().activity, SyncActivity::CatchingUp { remaining: None });
    assert_eq!(bench.page(0, [foreign(1, "x")]), ["log + e1=x, settled e1"]);
}

#[test]
fn a_pull_that_can_never_work_ends_syncing() {
    let mut bench = Bench::caught_up();
    assert_eq!(bench.pull_ends(Some(PullError::Invalid("no such store".to_owned()))), ["stop pulling"]);
    assert_eq!(bench.leader.status().activity, SyncActivity::Off);
    assert_eq!(bench.leader.poll_timeout(), None);
}
