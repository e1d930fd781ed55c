//! The leader's sessions: attaching, their pushes, and the stream of items.

use livestore_engine::processor::{Input, LeaderConfig, PullId};
use livestore_traits::{LogCommit, PushError, RejectCode, Rejection, SessionMessage, SessionPush};

use crate::bench::{Bench, foreign, num, own};
use crate::support::session_id;

#[test]
fn a_session_is_told_what_follows_its_cursor() {
    let mut bench = Bench::caught_up();
    bench.page(0, [foreign(1, "x"), foreign(2, "y")]);
    assert_eq!(
        bench.attach("s1", "e1"),
        ["s1 attached, 0 persisted, gone []", "s1 ← advance e1 + e2=y, settled e2"]
    );
}

#[test]
fn the_status_lists_who_is_attached() {
    let mut bench = Bench::caught_up();
    let listed = |bench: &Bench| -> Vec<String> {
        let sessions = bench.leader.status().sessions;
        sessions.iter().map(|session| format!("{} {}", session.session_id, session.label)).collect()
    };
    assert_eq!(listed(&bench), [""; 0]);
    bench.attach("s1", "e0");
    bench.attach("s2", "e0");
    assert_eq!(listed(&bench), ["s1 test", "s2 test"]);
    bench.give(Input::Detach(bench.link("s1")));
    assert_eq!(listed(&bench), ["s2 test"]);
}

#[test]
fn of_two_sessions_that_push_at_once_the_second_hears_of_the_first_and_pushes_again() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.attach("s2", "e0");
    let second = bench.push_input("s2", 1, "e0", 1, "b");
    let first = bench.push_input("s1", 1, "e0", 1, "a");
    bench.queue(first);
    let lines = bench.give(second);
    assert_eq!(
        lines,
        [
            "log + e1=a, settled e0, s1 through 1",
            "s1 ← accepted 1: e0 to e1, settled e0",
            "s2 ← refused 1",
            "s2 ← advance e0 + e1=a, settled e0",
            "push 1 after e0: e1=a",
        ]
    );
    assert_eq!(bench.push("s2", 2, "e1", 1, "b")[1], "s2 ← accepted 2: e1 to e2, settled e0");
}

#[test]
fn a_copy_of_the_state_tells_where_a_sessions_unsettled_commits_are() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.attach("s2", "e0");
    bench.push("s1", 1, "e0", 1, "a bC");
    bench.push("s2", 1, "e2.1", 1, "d");
    bench.push("s1", 2, "e3", 3, "e");
    bench.page(0, [own(1, 1, "a")]);
    let held = bench.leader.held(&session_id("s1"), bench.log.sessions.get(&session_id("s1")));
    assert_eq!((held.persisted, held.settled), (3, num("e1")));
    assert_eq!(held.unsettled, [(2, num("e2.1")), (3, num("e4"))]);
    let unknown = bench.leader.held(&session_id("s3"), None);
    assert_eq!((unknown.persisted, unknown.settled, unknown.unsettled), (0, num("e1"), Vec::new()));
}

/// A repeated push must not bring a dropped commit back.
#[test]
fn a_commit_is_taken_once() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.push("s1", 1, "e0", 1, "a b");
    for n in [1, 2] {
        assert_eq!(bench.push("s1", 2, "e2", n, "a"), ["s1 ← refused 2"], "commit {n}");
    }
    assert_eq!(bench.push("s1", 3, "e2", 3, "c")[0], "log + e3=c, settled e0, s1 through 3");
}

#[test]
fn pushes_that_wait_share_one_commit() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.attach("s2", "e0");
    let first = bench.push_input("s1", 1, "e0", 1, "a");
    let second = bench.push_input("s2", 1, "e1", 1, "b");
    bench.queue(first);
    assert_eq!(bench.give(second)[0], "log + e1=a e2=b, settled e0, s1 through 1, s2 through 1");
}

/// The leader crashed when the push was durable and before anybody was told.
#[test]
fn a_session_that_attaches_to_the_next_leader_hears_what_was_persisted() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.push("s1", 1, "e0", 1, "a b");
    let (mut next, first) = Bench::on(bench.log.clone(), LeaderConfig::default());
    assert_eq!(first, ["pull 0 after e0"]);
    assert_eq!(
        next.attach("s1", "e0"),
        ["s1 attached, 2 persisted, gone []", "s1 ← advance e0 + e1=a e2=b, settled e0"]
    );
    // Repeated, it would be in the log twice.
    assert_eq!(next.push("s1", 1, "e2", 1, "a b"), ["s1 ← refused 1"]);
}

#[test]
fn commits_that_are_gone_are_told_on_attaching() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.push("s1", 1, "e0", 1, "a b");
    let limits = livestore_traits::Limits { max_batch_events: 0, ..livestore_traits::Limits::DEFAULT };
    bench.refuse(1, PushError::TooLarge { limits });
    assert_eq!(bench.attach("s1", "e2")[1], "s1 attached, 2 persisted, gone [1, 2]");
}

/// The log ends where what it was sent ends, so that nothing but the loss is news.
#[test]
fn a_session_hears_of_a_lost_commit_that_it_had_not_been_sent() {
    let mut bench = Bench::new(|config| config.items_ahead = 1);
    bench.page(0, []);
    bench.attach("s1", "e0");
    // As many as one item may have, and one more.
    bench.push("s1", 1, "e0", 1, &format!("{} b", "A".repeat(512)));
    bench.attach("s1", "e0");
    let rejection = Rejection { index: 0, code: RejectCode::Forbidden, message: "no".to_owned() };
    assert_eq!(
        bench.refuse(1, PushError::Rejected(rejection)),
        ["log back to e0.512, settled e0.512, s1 lost 2", "s1 ← advance e0.512, settled e0.512, lost 2"]
    );
}

#[test]
fn attaching_ends_the_older_attachment_with_what_is_still_in_it() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    let late = bench.push_input("s1", 1, "e0", 1, "a");
    assert_eq!(bench.attach("s1", "e0")[..2], ["s1 closed", "s1 attached, 0 persisted, gone []"]);
    assert_eq!(bench.give(late), [""; 0]);
}

/// The log was deleted under a session that went on: its next commit was never the one that the log expected.
#[test]
fn a_session_whose_log_is_gone_goes_on() {
    let mut bench = Bench::caught_up();
    assert_eq!(bench.attach("s1", "e7")[1], "s1 ← rebase e7 to e0, settled e0");
    assert_eq!(
        bench.push("s1", 1, "e0", 6, "a b")[..2],
        ["log + e1=a e2=b, settled e0, s1 through 7", "s1 ← accepted 1: e0 to e2, settled e0"]
    );
    assert_eq!(bench.push("s1", 2, "e2", 6, "a"), ["s1 ← refused 2"]);
}

#[test]
fn a_session_whose_version_was_rolled_back_hears_from_the_last_common_one() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.push("s1", 1, "e0", 1, "a b");
    bench.page(0, [foreign(1, "x")]);
    assert_eq!(bench.attach("s2", "e2")[1], "s2 ← rebase e2 to e0 + e1r1=x e2r1=a e3r1=b, settled e1r1");
    assert_eq!(bench.attach("s3", "e2r1")[1], "s3 ← advance e2r1 + e3r1=b, settled e1r1");
}

#[test]
fn a_session_that_breaks_the_rules_is_detached_and_nobody_else_notices() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.attach("s2", "e0");
    let mut events = bench.units("s1", "e0", 1, "a");
    events[0].unit_end = false;
    let push = SessionPush { attempt: 1, base: num("e0"), events };
    let link = bench.link("s1");
    assert_eq!(bench.give(Input::Session(link, SessionMessage::Push(push))), ["s1 closed"]);
    assert_eq!(bench.push("s2", 1, "e0", 1, "b")[1], "s2 ← accepted 1: e0 to e1, settled e0");
    assert_eq!(bench.attach("s1", "e1")[0], "s1 attached, 0 persisted, gone []");
    assert_eq!(bench.push("s1", 1, "e1", 1, "a")[1], "s1 ← accepted 1: e1 to e2, settled e0");
}

#[test]
fn a_session_that_takes_nothing_in_gets_a_few_items_and_the_rest_when_it_does() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    let mut items = Vec::new();
    for seq in 1..=40 {
        items.extend(
            bench.page(seq - 1, [foreign(seq, "x")]).into_iter().filter(|line| line.starts_with("s1")),
        );
    }
    assert!(items.len() <= bench.config.items_ahead as usize, "{items:?}");
    let link = bench.link("s1");
    let lines = bench.give(Input::Session(link, SessionMessage::Taken));
    assert!(lines[0].ends_with("settled e40") && lines[0].contains("e5=x"), "{lines:?}");
}

#[test]
fn a_refresh_begins_a_new_stream_at_its_cursor() {
    let mut bench = Bench::caught_up();
    bench.page(0, [foreign(1, "x"), foreign(2, "y")]);
    bench.attach("s1", "e2");
    let refresh = SessionMessage::Refresh { cursor: num("e1"), stream: 1 };
    let link = bench.link("s1");
    assert_eq!(bench.give(Input::Session(link, refresh)), ["s1 ← advance e1 + e2=y, settled e2, stream 1"]);
    let refresh = SessionMessage::Refresh { cursor: num("e2"), stream: 2 };
    assert_eq!(bench.give(Input::Session(link, refresh)), ["s1 ← advance e2, settled e2, stream 2"]);
}

/// Pages moved the log while a session renumbered what it had, over and over.
#[test]
fn pages_wait_for_a_session_that_they_overtook() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.page(0, [foreign(1, "x")]);
    assert_eq!(bench.push("s1", 1, "e0", 1, "a"), ["s1 ← refused 1"]);
    assert_eq!(bench.page(1, [foreign(2, "y")]), [""; 0]);
    let lines = bench.push("s1", 2, "e1", 1, "a");
    assert_eq!(lines[0], "log + e2=a, settled e1, s1 through 1");
    assert_eq!(lines[2], "log back to e1 + e2r1=y e3r1=a, settled e2r1");
}

#[test]
fn pages_wait_longer_for_a_session_that_is_refused_again_but_not_for_ever() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    let mut waits = Vec::new();
    for seq in 1..12 {
        bench.page(seq - 1, [foreign(seq, "x")]);
        bench.push("s1", seq, "e0", 1, "a");
        let page = bench.a_page(seq, [foreign(seq + 1, "x")], livestore_traits::PageInfo::CaughtUp);
        bench.queue(Input::Page(PullId(bench.pull), page));
        waits.push(bench.wait().0);
    }
    let fairness = bench.config.fairness_time;
    assert_eq!((waits[0], waits[1]), (fairness, 2 * fairness));
    assert_eq!(waits[10], 64 * fairness);
}

/// A session that is refused as fast as it can push would hold pages back for ever.
#[test]
fn a_wait_for_a_session_is_not_made_longer_by_refusing_it_once_more() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.page(0, [foreign(1, "x")]);
    bench.push("s1", 1, "e0", 1, "a");
    let page = bench.a_page(1, [foreign(2, "y")], livestore_traits::PageInfo::CaughtUp);
    bench.queue(Input::Page(PullId(bench.pull), page));
    let begin = bench.now;
    bench.now += bench.config.fairness_time / 2;
    assert_eq!(bench.push("s1", 2, "e0", 1, "a"), ["s1 ← refused 2"]);
    let (_, lines) = bench.wait();
    assert_eq!(bench.now - begin, bench.config.fairness_time);
    assert_eq!(lines[0], "log + e2=y, settled e2");
}

/// Or the time that has passed would be due again and again.
#[test]
fn a_wait_for_a_session_ends_where_no_pages_wait_either() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.page(0, [foreign(1, "x")]);
    bench.push("s1", 1, "e0", 1, "a");
    let fairness = bench.config.fairness_time;
    assert_eq!(bench.wait(), (fairness, vec![]));
    assert_eq!(bench.wait().0, bench.config.silence_timeout - fairness);
}

/// Two sessions that went on committing refused each other by turns, each refusal began a new wait, and until they paused
/// nothing that was pulled came in and nothing was pushed.
#[test]
fn pages_do_not_wait_for_ever_for_sessions_that_are_refused_by_turns() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    bench.attach("s2", "e0");
    let begin = bench.now;
    let mut merged = None;
    for round in 0..1000_u64 {
        let (first, second) = if round % 2 == 0 { ("s1", "s2") } else { ("s2", "s1") };
        let base = bench.leader.local_head().to_string();
        for (session, n) in [(first, round / 2 + 1), (second, round.div_ceil(2) + 1)] {
            let push = bench.push_input(session, round, &base, n, "a");
            bench.queue(push);
        }
        if round == 0 {
            let page = bench.a_page(0, [foreign(1, "x")], livestore_traits::PageInfo::CaughtUp);
            bench.queue(Input::Page(PullId(bench.pull), page));
        }
        assert!(bench.drive().contains(&format!("{second} ← refused {round}")));
        if bench.leader.status().upstream_head.global.0 == 1 {
            merged = Some(bench.now - begin);
            break;
        }
        bench.now += bench.config.fairness_time / 4;
        bench.leader.handle_timeout(bench.now);
        bench.drive();
    }
    assert_eq!(merged, Some(64 * bench.config.fairness_time));
}

/// What a session pushed in the same turn was rolled back before it was durable under the number it was promised.
#[test]
fn what_a_session_was_promised_is_durable_before_it_is_rolled_back() {
    let mut bench = Bench::caught_up();
    bench.attach("s1", "e0");
    let push = bench.push_input("s1", 1, "e0", 1, "a");
    bench.queue(push);
    let page = bench.a_page(0, [foreign(1, "x")], livestore_traits::PageInfo::CaughtUp);
    bench.queue(Input::Page(PullId(bench.pull), page));
    let ended = livestore_traits::PullError::Offline(crate::bench::offline());
    let lines = bench.pull_ends(Some(ended));
    assert_eq!(lines[..2], ["log + e1=a, settled e0, s1 through 1", "s1 ← accepted 1: e0 to e1, settled e0"]);
    assert!(lines.contains(&"log back to e0 + e1r1=x e2r1=a, settled e1r1".to_owned()), "{lines:?}");
}

#[test]
fn a_leader_of_an_older_term_is_refused_by_the_log() {
    let mut bench = Bench::caught_up();
    let old = bench.log.heads.term;
    let (next, _) = Bench::on(bench.log.clone(), LeaderConfig::default());
    bench.log = next.log;
    let commit = LogCommit::new(&bench.log.heads);
    assert!(bench.log.commit(old, commit).unwrap_err().contains("fenced"));
}
