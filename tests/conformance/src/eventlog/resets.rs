//! Cases: a new history, and the archives of old ones.

use livestore_traits::{ArchiveInfo, BackendId, EventlogReader, LogCommitKind, ReadLimit, SeqNum};

use super::EventlogFixture;
use super::build::*;

/// What a reset takes away, settled or not, is in an archive, as it was.
///
/// Verifies: `archives` and `read_archive`; the archive names its base, head, backend and reason.
pub async fn a_reset_archives_what_it_takes_away<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e2.1 e3");
    let mut commit = confirming(append(&heads, ""), "e2");
    commit.upstream.backend_id = Some(BackendId::new("old").expect("a valid id"));
    let heads = ok(&mut log, commit);
    let before = events(&log);
    let mut commit = reset(&heads, "e1", "e2r1");
    commit.upstream.backend_id = Some(BackendId::new("new").expect("a valid id"));
    let heads = ok(&mut log, commit);

    assert_eq!(numbers(&events(&log)), "e1 e2r1");
    assert_eq!((heads.local, heads.settled, heads.upstream.head), (num("e2r1"), num("e1"), num("e1")));
    let info = ArchiveInfo {
        id: 1,
        base: num("e1"),
        head: num("e3"),
        backend_id: Some(BackendId::new("old").expect("a valid id")),
        reason: "reset to e1".into(),
    };
    assert_eq!(log.archives().expect("archives"), [info]);
    assert_eq!(archived(&log, 1), before[1..]);
    assert_eq!(archived(&log, 2), []);
}

/// What both histories share stays as it is, with its stamps and client-only events.
///
/// Verifies: a reset to a client-only event in the middle.
pub async fn a_reset_keeps_what_is_shared<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2r1 e2.1r1 e2.2r1 e3r1");
    let before = events(&log);
    let heads = ok(&mut log, confirming(append(&heads, ""), "e2r1"));
    let mut commit = reset(&heads, "e2.1r1", "e3r2");
    commit.upstream.head = num("e2r1");
    ok(&mut log, commit);
    let after = events(&log);
    assert_eq!(numbers(&after), "e1 e2r1 e2.1r1 e3r2");
    assert_eq!(after[..3], before[..3]);
    assert_eq!(numbers(&archived(&log, 1)), "e2.2r1 e3r1");
}

/// Each reset has an archive of its own; the same positions in several of them do not mix.
///
/// Verifies: ids count from 1, oldest first; a reset that takes nothing away leaves an empty archive.
pub async fn archives_are_kept_side_by_side<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2");
    let heads = ok(&mut log, reset(&heads, "e0", "e1r1 e2r1 e2.1r1"));
    let heads = ok(&mut log, reset(&heads, "e1r1", "e2r2 e3r2"));
    let heads = ok(&mut log, reset(&heads, "e3r2", ""));
    ok(&mut log, reset(&heads, "e0", ""));
    let infos = log.archives().expect("archives");
    let bounds: Vec<_> = infos.iter().map(|info| (info.id, info.base, info.head)).collect();
    assert_eq!(
        bounds,
        [
            (1, SeqNum::ROOT, num("e2")),
            (2, num("e1r1"), num("e2.1r1")),
            (3, num("e3r2"), num("e3r2")),
            (4, SeqNum::ROOT, num("e3r2")),
        ]
    );
    let contents: Vec<_> = infos.iter().map(|info| numbers(&archived(&log, info.id))).collect();
    assert_eq!(contents, ["e1 e2", "e2r1 e2.1r1", "", "e1r1 e2r2 e3r2"]);
    assert_eq!(numbers(&events(&log)), "");
}

/// Archives are read as the log is: after a position, within a limit.
///
/// Verifies: `read_archive` at `limit - 1`, `limit`, `limit + 1` and at the bounds of the archive.
pub async fn archives_read_in_pages<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e2.1 e3");
    let heads = ok(&mut log, reset(&heads, "e0", "e1r1"));
    ok(&mut log, reset(&heads, "e0", ""));
    let read = |id, after, limit| {
        numbers(&log.read_archive(id, at(after), ReadLimit::events(limit)).expect("a read"))
    };
    assert_eq!(read(1, "e0", 3), "e1 e2 e2.1");
    assert_eq!(read(1, "e0", 4), "e1 e2 e2.1 e3");
    assert_eq!(read(1, "e0", 5), "e1 e2 e2.1 e3");
    assert_eq!(read(1, "e2", 1), "e2.1");
    assert_eq!(read(1, "e3", 9), "");
    assert_eq!(read(2, "e0", 9), "e1r1");
    for missing in [0, 3, u64::MAX >> 1] {
        assert_eq!(read(missing, "e0", 9), "");
    }
    let tight = ReadLimit { bytes: 0, ..ReadLimit::events(9) };
    assert_eq!(numbers(&log.read_archive(1, at("e1"), tight).expect("a read")), "e2");
}

/// A reset may pass the settled head, and nothing else.
///
/// Verifies: base, generation, chain and heads of a reset are checked as those of any commit.
pub async fn a_reset_passes_the_settled_head_but_keeps_the_other_rules<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e3");
    let heads = ok(&mut log, confirming(append(&heads, ""), "e3"));
    let mut same_generation = reset(&heads, "e1", "");
    same_generation.generation = heads.generation;
    refused(&mut log, same_generation, "a reset in the same generation");
    refused(&mut log, reset(&heads, "e1", "e3r1"), "a reset with a gap");
    let mut elsewhere = reset(&heads, "e1", "");
    elsewhere.kind = LogCommitKind::Reset { base: num("e1r7"), reason: String::new() };
    refused(&mut log, elsewhere, "a reset to a version that is not there");
    let mut floating = reset(&heads, "e1", "");
    floating.settled = num("e3");
    refused(&mut log, floating, "a settled head on what is archived");
    assert_eq!(log.archives().expect("archives"), []);
    ok(&mut log, reset(&heads, "e1", "e2r1"));
}
