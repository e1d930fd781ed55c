//! The leader's push, and what its answers mean.

use std::time::Duration;

use livestore_engine::processor::{Diverged, Input, SyncActivity};
use livestore_traits::{
    Args, ClientSecret, Identity, Limits, PageInfo, PullError, PushError, RejectCode, Rejection, SyncedEvent,
};

use crate::bench::{Bench, foreign, offline, own};
use crate::support::client_id;

/// A leader whose session `s1` has pushed these units; they are on their way to the backend as attempt 1.
fn pushing(units: &str) -> Bench {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    let lines = bench.push("s1", 1, "e0", 1, units);
    assert!(lines.last().is_some_and(|line| line.starts_with("push 1 after e0")), "{lines:?}");
    bench
}

#[test]
fn what_sessions_push_is_durable_before_anybody_hears_of_it() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    let lines = bench.push("s1", 1, "e0", 1, "a bC");
    assert_eq!(
        lines,
        [
            "log + e1=a e2=b e2.1=c, settled e0, s1 through 2",
            "s1 ← accepted 1: e0 to e2.1, settled e0",
            "push 1 after e0: e1=a e2=b",
        ]
    );
}

#[test]
fn an_acknowledgement_confirms_and_its_echo_is_a_known_repeat() {
    let mut bench = pushing("a bC");
    let lines = bench.acknowledge(1, 2);
    assert_eq!(lines, ["log, settled e2.1", "s1 ← advance e2.1, settled e2.1"]);
    assert_eq!(bench.page(0, [own(1, 1, "a"), own(2, 2, "b")]), [""; 0]);
    assert_eq!(bench.leader.status().rebases, 0);
}

/// Client-only events do not reach the backend; a unit that ends with one ends before it there.
#[test]
fn a_push_tells_where_units_end() {
    let bench = pushing("aB cd eFG h");
    let push = bench.pushed.unwrap();
    push.check_chain().unwrap();
    let ends: Vec<bool> = push.events.iter().map(|event| event.unit_end).collect();
    assert_eq!(ends, [true, false, true, true, true]);
}

#[test]
fn a_batch_may_be_just_as_large_as_the_backend_allows() {
    let one = own(1, 1, "a").encoded_len();
    let mut bench = Bench::new(|config| config.limits.max_batch_bytes = 2 * one);
    bench.page(0, []);
    bench.attach("s1", "e0");
    assert_eq!(bench.push("s1", 1, "e0", 1, "a b c").last().unwrap(), "push 1 after e0: e1=a e2=b");
}

/// Settled events need no undo data, also where nothing else is ever applied.
#[test]
fn undo_data_is_forgotten_when_much_was_settled() {
    let mut bench = pushing(&vec!["a"; 2500].join(" "));
    let mut settled = Vec::new();
    for attempt in 1..=25 {
        bench.acknowledge(attempt, 100 * attempt);
        settled.push(bench.forgets);
    }
    assert_eq!((settled[8], settled[9], settled[18], settled[19], settled[24]), (0, 1, 1, 2, 2));
}

/// A slow link never carried a full batch in the time that a push has, and it was tried for ever.
#[test]
fn what_was_too_much_for_a_link_is_pushed_in_smaller_batches() {
    let mut bench = pushing("a bc d e f g h");
    for (attempt, batch) in [(2, "e1=a e2=b e3=c e4=d"), (3, "e1=a"), (4, "e1=a")] {
        // The time is over, or the connection is.
        let lines = match attempt {
            2 => bench.wait().1,
            _ => bench.refuse(attempt - 1, PushError::Unacknowledged(offline())),
        };
        assert_eq!(lines, [format!("pull {} after e0", attempt - 1)]);
        bench.page(0, []);
        assert_eq!(bench.wait().1, [format!("push {attempt} after e0: {batch}")]);
    }
    // Each that gets through makes the next one larger, until something is too much again.
    assert_eq!(bench.acknowledge(4, 1).last().unwrap(), "push 5 after e1: e2=b e3=c");
    assert_eq!(bench.acknowledge(5, 3).last().unwrap(), "push 6 after e3: e4=d e5=e");
    assert_eq!(bench.acknowledge(6, 5).last().unwrap(), "push 7 after e5: e6=f e7=g e8=h");
}

#[test]
fn an_echo_confirms_and_its_acknowledgement_changes_nothing() {
    let mut bench = pushing("a b");
    let lines = bench.page(0, [own(1, 1, "a")]);
    assert_eq!(lines, ["log, settled e1", "s1 ← advance e2, settled e1"]);
    assert_eq!(bench.page(1, [own(2, 2, "b")]), ["log, settled e2", "s1 ← advance e2, settled e2"]);
    assert_eq!(bench.acknowledge(1, 2), [""; 0]);
}

/// A push whose answer is lost may have been stored: pushing again before looking could only be refused.
#[test]
fn a_lost_answer_makes_the_leader_pull_and_recognise_its_events() {
    let mut bench = pushing("a");
    let lines = bench.refuse(1, PushError::Unacknowledged(offline()));
    assert_eq!(lines, ["pull 1 after e0"]);
    assert_eq!(bench.page(0, [own(1, 1, "a")]), ["log, settled e1", "s1 ← advance e1, settled e1"]);
    assert_eq!(bench.leader.status().pending_events, 0);
}

#[test]
fn a_push_that_is_not_answered_in_time_is_tried_again_after_a_pull() {
    let mut bench = pushing("a");
    let (waited, lines) = bench.wait();
    assert_eq!((waited, lines), (bench.config.push_timeout, vec!["pull 1 after e0".to_owned()]));
    assert_eq!(bench.page(0, []), [""; 0]);
    let (waited, lines) = bench.wait();
    assert!(waited <= bench.config.backoff_min);
    assert_eq!(lines, ["push 2 after e0: e1=a"]);
}

#[test]
fn an_answer_to_an_older_attempt_is_ignored() {
    let mut bench = pushing("a");
    bench.wait();
    let lines = bench.page(0, [foreign(1, "x")]);
    assert_eq!(lines[0], "log back to e0 + e1r1=x e2r1=a, settled e1r1");
    bench.wait();
    assert_eq!(bench.acknowledge(1, 1), [""; 0]);
    assert_eq!(bench.acknowledge(2, 2), ["log, settled e2r1", "s1 ← advance e2r1, settled e2r1"]);
}

#[test]
fn a_rebase_while_a_push_is_under_way_ends_in_a_push_of_the_new_numbers() {
    let mut bench = pushing("a");
    let lines = bench.page(0, [foreign(1, "x")]);
    assert_eq!(
        lines,
        [
            "log back to e0 + e1r1=x e2r1=a, settled e1r1",
            "s1 ← rebase e1 to e0 + e1r1=x e2r1=a, settled e1r1",
        ]
    );
    assert_eq!(bench.leader.status().rebases, 1);
    // The pull was faster than the answer: nothing is waited for.
    assert_eq!(bench.ahead(1, 1, None), ["push 2 after e1: e2=a"]);
}

/// Only what was pushed under the number that it has now can stand in the backend with other args.
#[test]
fn what_a_page_renumbered_was_not_pushed_under_its_new_number() {
    let mut bench = pushing("a b");
    bench.page(0, [foreign(1, "x")]);
    let lines = bench.page(1, [own(2, 1, "other")]);
    assert_eq!(lines[0], "log back to e1r1 + e2r2=other e3r2=a e4r2=b, settled e2r2");
}

#[test]
fn what_moved_up_to_a_rejected_event_was_not_pushed_under_its_new_number() {
    let mut bench = pushing("a b");
    bench.pull_ends(Some(PullError::Offline(offline())));
    let rejection = Rejection { index: 0, code: RejectCode::Forbidden, message: "no".to_owned() };
    let lines = bench.refuse(1, PushError::Rejected(rejection));
    assert_eq!(lines[0], "log back to e0 + e1r1=b, settled e0, s1 lost 1");
    bench.wait();
    let lines = bench.page(0, [SyncedEvent { commit: None, ..own(1, 1, "other") }]);
    assert_eq!(lines[0], "log back to e0 + e1r2=other e2r2=b, settled e1r2");
}

#[test]
fn a_head_where_the_push_began_is_no_divergence() {
    let mut bench = pushing("a");
    assert_eq!(bench.ahead(1, 0, None), ["pull 1 after e0"]);
    bench.page(0, []);
    assert_eq!(bench.wait().1, ["push 2 after e0: e1=a"]);
}

/// Nothing can be pushed before the pull has caught up again, so a push that could be tried is nothing to wake up for.
#[test]
fn a_push_that_waits_for_the_pull_too_is_not_woken_for() {
    let mut bench = pushing("a");
    bench.ahead(1, 0, None);
    let (waited, lines) = bench.wait();
    assert_eq!(lines, [""; 0]);
    assert_eq!(bench.wait().0, bench.config.silence_timeout - waited);
}

/// What came with the answer showed another backend; a leader that ignores that has nothing left to wait for.
#[test]
fn an_answer_that_ends_syncing_leaves_nothing_to_wait_for() {
    let mut bench = Bench::new(|config| config.diverged = Diverged::Ignore);
    bench.page(0, []);
    bench.attach("s1", "e0");
    bench.push("s1", 1, "e0", 1, "a");
    bench.backend = "another";
    let missing = bench.a_page(0, [foreign(1, "x")], PageInfo::CaughtUp);
    bench.ahead(1, 1, Some(missing));
    assert_eq!(bench.leader.status().activity, SyncActivity::Off);
    assert_eq!(bench.leader.poll_timeout(), None);
}

#[test]
fn what_is_missing_comes_with_the_answer() {
    let mut bench = pushing("a");
    let missing = bench.a_page(0, [foreign(1, "x")], PageInfo::CaughtUp);
    let lines = bench.ahead(1, 1, Some(missing));
    assert_eq!(lines[0], "log back to e0 + e1r1=x e2r1=a, settled e1r1");
    assert_eq!(lines[1], "push 2 after e1: e2=a");
}

/// An answer that brings the first page of many, after the pull had brought all of them, said "more to come" and so
/// stopped all pushes until the pull had been silent for a minute.
#[test]
fn an_answer_that_the_pull_has_overtaken_does_not_stop_pushing() {
    let mut bench = pushing("a");
    bench.page(0, [foreign(1, "x"), foreign(2, "y")]);
    let missing = bench.a_page(0, [foreign(1, "x")], PageInfo::More { remaining: Some(1) });
    assert_eq!(bench.ahead(1, 2, Some(missing)), ["push 2 after e2: e3=a"]);
}

#[test]
fn events_that_do_not_come_by_themselves_are_pulled() {
    let mut bench = pushing("a");
    assert_eq!(bench.ahead(1, 1, None), [""; 0]);
    let (waited, lines) = bench.wait();
    assert_eq!((waited, lines), (bench.config.ahead_timeout, vec!["pull 1 after e0".to_owned()]));
}

#[test]
fn a_rejected_event_takes_its_unit_along_wherever_that_is_numbered_by_now() {
    let mut bench = pushing("a xyZ b");
    bench.page(0, [foreign(1, "f")]);
    let code = RejectCode::Forbidden;
    let rejection = Rejection { index: 1, code, message: "no".to_owned() };
    let lines = bench.refuse(1, PushError::Rejected(rejection));
    assert_eq!(
        lines,
        [
            "log back to e2r1 + e3r2=b, settled e1r1, s1 lost 2",
            "push 2 after e1: e2=a e3=b",
            "s1 ← rebase e5r1 to e2r1 + e3r2=b, settled e1r1, lost 2",
        ]
    );
}

/// A unit that no longer fits was dropped, but the log heard of it only with the next input.
#[test]
fn a_unit_that_the_backend_cannot_take_is_given_back_at_once() {
    let mut bench = pushing("abc d");
    let limits = Limits { max_batch_events: 2, ..Limits::DEFAULT };
    let lines = bench.refuse(1, PushError::TooLarge { limits });
    assert_eq!(
        lines,
        [
            "log back to e0 + e1r1=d, settled e0, s1 lost 1",
            "push 2 after e0: e1=d",
            "s1 ← rebase e4 to e0 + e1r1=d, settled e0, lost 1",
        ]
    );
}

/// A backend that counts bytes otherwise than we do refused the same batch for ever, as fast as it could answer.
#[test]
fn a_batch_that_is_too_large_for_no_reason_we_know_is_halved_and_one_unit_is_only_tried_again() {
    let mut bench = pushing("a b c d");
    let too_large = || PushError::TooLarge { limits: Limits::DEFAULT };
    assert_eq!(bench.refuse(1, too_large()), [""; 0]);
    assert_eq!(bench.wait().1, ["push 2 after e0: e1=a e2=b"]);
    bench.refuse(2, too_large());
    assert_eq!(bench.wait().1, ["push 3 after e0: e1=a"]);
    bench.refuse(3, too_large());
    let (waited, lines) = bench.wait();
    assert_eq!(lines, ["push 4 after e0: e1=a"]);
    assert!(waited >= 2 * bench.config.backoff_min, "{waited:?}");
}

#[test]
fn a_client_whose_id_is_taken_goes_on_under_another() {
    let mut bench = pushing("a");
    assert_eq!(bench.refuse(1, PushError::ClientIdTaken), ["new identity"]);
    let identity = Identity { client_id: client_id("new"), secret: ClientSecret([8; 16]) };
    let lines = bench.give(Input::Identity(identity));
    assert_eq!(
        lines,
        ["log back to e0 + e1r1=a, settled e0, client new", "s1 ← rebase e1 to e0 + e1r1=a, settled e0",]
    );
    // Not as fast as ids can be made: a backend may refuse them all.
    assert_eq!(bench.wait().1, ["push 2 after e0: e1=a"]);
    let refused = bench.units("s1", "e1r1", 2, "b");
    assert!(refused.iter().all(|event| event.client_id == client_id("new")));
}

#[test]
fn sessions_hear_of_a_new_client_id_where_nothing_else_is_news() {
    let mut bench = pushing("a");
    bench.refuse(1, PushError::ClientIdTaken);
    bench.page(0, [own(1, 1, "a")]);
    let identity = Identity { client_id: client_id("new"), secret: ClientSecret([8; 16]) };
    assert_eq!(
        bench.give(Input::Identity(identity)),
        ["log, settled e1, client new", "s1 ← advance e1, settled e1"]
    );
}

/// What a session pushes under the old id is refused, and the answer tells it the new one.
#[test]
fn a_push_under_the_old_client_id_is_refused() {
    let mut bench = pushing("a");
    let late = bench.push_input("s1", 2, "e1", 2, "b");
    bench.refuse(1, PushError::ClientIdTaken);
    bench.give(Input::Identity(Identity { client_id: client_id("new"), secret: ClientSecret([8; 16]) }));
    assert_eq!(bench.give(late), ["s1 ← refused 2"]);
}

#[test]
fn credentials_that_are_renewed_let_it_go_on() {
    let mut bench = pushing("a");
    for attempt in 1..6 {
        let refused = bench.refuse(attempt, PushError::Unauthorized("expired".to_owned()));
        assert_eq!(refused, [""; 0]);
        let (waited, lines) = bench.wait();
        assert!(waited <= bench.config.backoff_max);
        assert_eq!(lines, [format!("push {} after e0: e1=a", attempt + 1)]);
    }
    assert_eq!(bench.acknowledge(6, 1)[0], "log, settled e1");
    assert_eq!(bench.leader.status().last_error, None);
}

#[test]
fn syncing_now_skips_the_wait() {
    let mut bench = pushing("a");
    bench.refuse(1, PushError::Offline(offline()));
    assert_eq!(bench.give(Input::SyncNow), ["push 2 after e0: e1=a"]);
}

/// Where the wire carries no commits, the number, client, session and name tell that it is ours.
#[test]
fn an_own_event_with_other_args_is_taken_over_and_never_pushed_again() {
    let mut bench = pushing("a b");
    let args = Args::parse("\"changed\"").unwrap();
    let changed = SyncedEvent { args, commit: None, ..own(1, 1, "a") };
    let lines = bench.page(0, [changed]);
    assert_eq!(
        lines,
        [
            "log back to e0 + e1r1=changed e2r1=b, settled e1r1",
            "adopted e1r1",
            "s1 ← rebase e2 to e0 + e1r1=changed e2r1=b, settled e1r1",
        ]
    );
    // That the first was taken over does not make the next one, in another page, somebody else's.
    let args = Args::parse("\"changed too\"").unwrap();
    let changed = SyncedEvent { args, commit: None, ..own(2, 2, "b") };
    let lines = bench.page(1, [changed]);
    assert_eq!(lines[0], "log back to e1r1 + e2r2=changed too, settled e2r2");
    assert_eq!(bench.leader.status().pending_events, 0);
}

#[test]
fn pushes_never_run_beside_each_other_and_are_cut_at_unit_ends() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    let units = vec!["abc"; 50].join(" ");
    let lines = bench.push("s1", 1, "e0", 1, &units);
    assert_eq!(lines.last().unwrap().matches('=').count(), 99);
    assert_eq!(bench.push("s1", 2, "e150", 51, "d").len(), 2, "a second push runs beside the first");
    assert!(bench.acknowledge(1, 99).last().unwrap().starts_with("push 2 after e99"));
}

#[test]
fn an_acknowledgement_of_another_backend_is_a_divergence() {
    let mut bench = pushing("a");
    bench.backend = "another";
    assert_eq!(bench.acknowledge(1, 1), ["pull 1 after e0"]);
    assert_eq!(bench.leader.status().pending_events, 1);
}

#[test]
fn waits_grow_while_the_backend_refuses() {
    let mut bench = pushing("a");
    let mut waits = Vec::new();
    for attempt in 1..=9 {
        bench.refuse(attempt, PushError::Busy("much to do".to_owned()));
        waits.push(bench.wait().0);
    }
    assert!(waits[0] <= Duration::from_millis(100) && waits[8] >= Duration::from_secs(12), "{waits:?}");
}
