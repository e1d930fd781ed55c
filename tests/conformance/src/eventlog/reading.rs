//! Cases: pages, positions, the last common version, and readers beside the writer.

use std::sync::atomic::{AtomicBool, Ordering};

use livestore_traits::{Args, Eventlog, EventlogReader, Heads, LogCommit, ReadLimit, SeqNum};

use super::EventlogFixture;
use super::build::*;

/// A page holds as many events as the limit allows, and no more.
///
/// Verifies: `limit - 1`, `limit` and `limit + 1` events in the log.
pub async fn reads_keep_to_the_limit_of_events<F: EventlogFixture>(fixture: &F) {
    for (stored, expected) in [("e1 e1.1 e2", 3), ("e1 e1.1 e2 e3", 4), ("e1 e1.1 e2 e3 e3.1", 4)] {
        let (_storage, log, _) = create_with(fixture, stored);
        let page = log.read(at("e0"), ReadLimit::events(4)).expect("a read");
        assert_eq!(page.len(), expected, "of {stored}");
        assert_eq!(page, events(&log)[..expected]);
        let page = log.read(at("e0"), ReadLimit::events(1)).expect("a read");
        assert_eq!(numbers(&page), "e1");
    }
}

/// A page ends with the event that reaches the limit of bytes, and holds at least one.
///
/// Verifies: "No further event is added once this many bytes of args are there"; "at least one event if there is any".
pub async fn reads_keep_to_the_limit_of_bytes<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log) = create(fixture);
    let mut commit = append(&Heads::default(), "e1 e2 e3 e4");
    for event in &mut commit.append {
        event.args = Args::parse("\"12345678\"").expect("valid JSON"); // 10 bytes
    }
    ok(&mut log, commit);
    for (bytes, expected) in [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (39, 4), (1000, 4)] {
        let page = log.read(at("e0"), ReadLimit { bytes, ..ReadLimit::events(100) }).expect("a read");
        assert_eq!(page.len(), expected, "with a limit of {bytes} bytes");
    }
}

/// A read begins with the first event after its position, whether an event stands there or not.
///
/// Verifies: `after` is exclusive, orders by position alone, and may lie beyond the head.
pub async fn reads_begin_after_any_position<F: EventlogFixture>(fixture: &F) {
    let (_storage, log, _) = create_with(fixture, "e0.1 e1 e1.1 e1.2 e2 e3");
    let read = |after| numbers(&log.read(after, ReadLimit::events(2)).expect("a read"));
    for (after, expected) in [
        ("e0", "e0.1 e1"),
        ("e0.1", "e1 e1.1"),
        ("e0.7", "e1 e1.1"),
        ("e1", "e1.1 e1.2"),
        ("e1.1", "e1.2 e2"),
        ("e1.2r9", "e2 e3"),
        ("e2.4294967295", "e3"),
        ("e3", ""),
        ("e3.1", ""),
        ("e9000000000", ""),
    ] {
        assert_eq!(read(at(after)), expected, "after {after}");
    }
    assert_eq!(read(at("e2").before()), "e2 e3");
    assert_eq!(read(at("e1.2").before()), "e1.2 e2");
}

/// A log of many pages is read completely and in order, whatever the size of its pages.
///
/// Verifies: pages join without gap or repeat.
pub async fn a_long_log_reads_in_pages<F: EventlogFixture>(fixture: &F) {
    const EVENTS: u64 = 2_500;
    let (_storage, mut log) = create(fixture);
    let mut heads = Heads::default();
    for part in 0..5 {
        let from = part * EVENTS / 5;
        let text = (from + 1..=from + EVENTS / 5).map(|global| format!("e{global} ")).collect::<String>();
        heads = ok(&mut log, append(&heads, &text));
    }
    for limit in [1_000, 999, 2_500, 4_000] {
        let (mut seen, mut after) = (0, at("e0"));
        loop {
            let page = log.read(after, ReadLimit::events(limit)).expect("a read");
            let Some(last) = page.last() else { break };
            after = last.num.position();
            for event in &page {
                seen += 1;
                assert_eq!(event.num.global.0, seen);
            }
        }
        assert_eq!(seen, EVENTS, "in pages of {limit}");
    }
}

/// Args as large as a frame are stored whole.
///
/// Verifies: an event of `Limits::DEFAULT.max_event_bytes`.
pub async fn large_args_are_kept<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log) = create(fixture);
    let mut commit = append(&Heads::default(), "e1 e2");
    commit.append[0].args = Args::from_value(&"ü\"".repeat(220_000)).expect("text is JSON");
    let appended = commit.append.clone();
    ok(&mut log, commit);
    assert_eq!(events(&log), appended);
}

/// Where a state and its log went apart is the last version that both know.
///
/// Verifies: `common` for versions in the log, rolled back, ahead of it, and at positions without an event.
pub async fn common_is_the_last_shared_version<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e2.1 e3 e4");
    let heads = ok(&mut log, rollback(&heads, "e2", "e3r1 e4r1"));
    ok(&mut log, rollback(&heads, "e3r1", "e3.1r2 e4r2 e5r2"));
    assert_eq!(numbers(&events(&log)), "e1 e2 e3r1 e3.1r2 e4r2 e5r2");
    for (version, expected) in [
        ("e0", "e0"),
        ("e1", "e1"),
        ("e2", "e2"),
        ("e3r1", "e3r1"),
        ("e5r2", "e5r2"),
        ("e2.1", "e2"), // rolled back
        ("e3", "e2"),   // an older version of a position
        ("e4", "e2"),
        ("e4r1", "e3r1"),
        ("e3.7r2", "e3.1r2"),
        ("e6", "e2"), // ahead of the log
        ("e9r1", "e3r1"),
        ("e9r5", "e5r2"),
        ("e1r9", "e1"),
    ] {
        assert_eq!(log.common(num(version)).expect("common"), num(expected), "with {version}");
    }
}

/// A reader sees every commit from the moment it is made, and lives beside the log.
///
/// Verifies: `reader` answers as the log does, after each kind of commit.
pub async fn a_reader_follows_the_log<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2");
    let reader = log.reader().expect("a reader");
    assert_eq!(View::of(&reader), View::of(&log));
    let heads = ok(&mut log, append(&heads, "e3 e4"));
    assert_eq!(View::of(&reader), View::of(&log));
    let heads = ok(&mut log, rollback(&heads, "e2", "e3r1"));
    assert_eq!(View::of(&reader), View::of(&log));
    assert_eq!(reader.common(num("e4")).expect("common"), num("e2"));
    ok(&mut log, reset(&heads, "e1", "e2r2"));
    assert_eq!(View::of(&reader), View::of(&log));
    drop(reader);
    assert_eq!(numbers(&events(&log.reader().expect("another reader"))), "e1 e2r2");
}

/// While commits replace the whole log again and again, every page shows exactly one of them.
///
/// Verifies: "It sees each commit whole", from another thread.
pub async fn a_reader_never_sees_half_a_commit<F: EventlogFixture>(fixture: &F) {
    const COMMITS: u64 = 60;
    let (_storage, mut log, mut heads) = create_with(fixture, "e1 e2 e3");
    let reader = log.reader().expect("a reader");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &done;
        let reading = scope.spawn(move || {
            let mut last = SeqNum::ROOT.generation;
            loop {
                let finished = done.load(Ordering::Acquire);
                let page = reader.read(at("e0"), ReadLimit::events(10)).expect("a read");
                let generation = page[0].num.generation;
                assert_eq!(page.len(), 3, "a page shows {}", numbers(&page));
                assert!(page.iter().all(|event| event.num.generation == generation), "{}", numbers(&page));
                assert!(generation >= last, "a later page shows an earlier commit");
                assert!(reader.heads().expect("heads").generation >= generation);
                last = generation;
                if finished {
                    return last;
                }
            }
        });
        // The reader must stop even if a commit fails and this thread panics.
        let stop = StopOnDrop(done);
        for generation in 1..=COMMITS {
            let text = format!("e1r{generation} e2r{generation} e3r{generation}");
            heads = ok(&mut log, rollback(&heads, "e0", &text));
        }
        drop(stop);
        assert_eq!(reading.join().expect("the reader saw whole commits only").0, COMMITS);
    });
    ok(&mut log, LogCommit::new(&heads));
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
