//! Cases: what a commit does, and what it must refuse.

use bytes::Bytes;
use livestore_traits::{
    Args, BackendId, ClientId, ClientSecret, CommitRef, Cursor, Event, EventName, EventlogReader, GlobalSeq,
    GoneCommit, GoneReason, Heads, Identity, LogCommit, LogCommitKind, Position, ReadLimit, SeqNum,
    SessionRecord, UpstreamMark,
};

use super::EventlogFixture;
use super::build::*;

/// A log that was never written has the root as every head, and nothing else.
///
/// Verifies: `heads`, `read`, `common`, `session`, `archives` of an empty log.
pub async fn a_new_log_is_empty<F: EventlogFixture>(fixture: &F) {
    let (_storage, log) = create(fixture);
    assert_eq!(log.heads().expect("heads"), Heads::default());
    assert_eq!(log.read(Position::ROOT, ReadLimit::events(10)).expect("a read"), []);
    assert_eq!(log.common(num("e5r3")).expect("common"), SeqNum::ROOT);
    assert_eq!(log.session(&session_id("s1")).expect("a session"), None);
    assert_eq!(log.archives().expect("archives"), []);
    assert_eq!(log.read_archive(1, Position::ROOT, ReadLimit::events(10)).expect("a read"), []);
}

/// Every field of an event is stored: with and without a commit, own and pulled, inside and at the end of a unit.
///
/// Verifies: what `read` returns is what `commit` was given.
pub async fn appended_events_are_read_back_as_they_were<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log) = create(fixture);
    let own = Event {
        num: num("e1"),
        name: EventName::new("v1.Tädä ✓").expect("a valid name"),
        args: Args::parse(r#"{ "b": [1.50, "\u0041\n", null], "a": {"": -0} }"#).expect("valid JSON"),
        client_id: ClientId::new("client with 'quotes\" and ünïcode").expect("a valid id"),
        session_id: session_id("s1"),
        commit: Some(CommitRef { n: u64::MAX >> 1, index: u32::MAX }),
        unit_end: false,
        is_own: true,
    };
    let pulled = Event {
        num: num("e2"),
        args: Args::null(),
        commit: None,
        unit_end: true,
        is_own: false,
        ..own.clone()
    };
    let local = Event { num: num("e2.1"), unit_end: false, ..own.clone() };
    let mut commit = LogCommit::new(&Heads::default());
    commit.append = vec![own, pulled, local];
    let appended = commit.append.clone();
    ok(&mut log, commit);
    assert_eq!(events(&log), appended);
}

/// Client-only events are numbered after a synced one, also after the root, and keep their place among synced ones.
///
/// Verifies: the order of (global, client).
pub async fn client_only_events_stand_between_synced_ones<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e0.1 e0.2 e1 e1.1");
    let heads = ok(&mut log, append(&heads, "e1.2 e2 e3 e3.1"));
    assert_eq!(numbers(&events(&log)), "e0.1 e0.2 e1 e1.1 e1.2 e2 e3 e3.1");
    assert_eq!(heads.local, num("e3.1"));
}

/// The settled head, the upstream head, its cursor with token and backend id, and the identity come with the events.
///
/// Verifies: "moves all heads".
pub async fn the_heads_are_stored_with_the_events<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log) = create(fixture);
    let mut commit = append(&Heads::default(), "e1 e2 e2.1 e3");
    commit.settled = num("e2.1");
    commit.upstream = UpstreamMark {
        head: num("e2"),
        cursor: Cursor { after: GlobalSeq(2), token: Some(Bytes::from_static(b"\0token\xff")) },
        backend_id: Some(BackendId::new("b1").expect("a valid id")),
    };
    commit.identity = Some(Identity {
        client_id: ClientId::new("c1").expect("a valid id"),
        secret: ClientSecret([0xab; 16]),
    });
    let expected = Heads {
        local: num("e3"),
        settled: commit.settled,
        upstream: commit.upstream.clone(),
        generation: commit.generation,
        term: TERM,
        identity: commit.identity.clone(),
    };
    assert_eq!(ok(&mut log, commit), expected);

    let mut commit = LogCommit::new(&expected);
    commit.upstream.cursor.token = None;
    assert_eq!(ok(&mut log, commit).upstream.cursor.token, None, "a token can be taken away again");
}

/// Events that do not follow the head one by one are refused.
///
/// Verifies: a gap, a repeat, and a chain that breaks in the middle are `Refused`.
pub async fn a_gap_is_refused<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e2.1");
    for gap in ["e2", "e4", "e2.1", "e2.3", "e1", "e3 e5", "e3 e3", "e3 e3.2", "e3.1"] {
        refused(&mut log, append(&heads, gap), gap);
    }
}

/// An appended event is neither of an older generation than the one before it nor of a newer one than the log.
///
/// Verifies: "generations never fall along a log".
pub async fn generations_out_of_order_are_refused<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1r2 e2r3");
    for wrong in ["e3", "e3r2", "e3r4", "e3r3 e4r2"] {
        refused(&mut log, append(&heads, wrong), wrong);
    }
    ok(&mut log, append(&heads, "e3r3"));
}

/// What was pending is replaced in one step by what comes instead.
///
/// Verifies: rollback and append are one commit; another version stands at the same position.
pub async fn a_rollback_replaces_what_was_pending<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e1.1 e2 e3");
    let heads = ok(&mut log, rollback(&heads, "e1.1", "e2r1 e3r1 e4r1"));
    assert_eq!(numbers(&events(&log)), "e1 e1.1 e2r1 e3r1 e4r1");
    assert_eq!((heads.local, heads.generation), (num("e4r1"), num("e4r1").generation));
    ok(&mut log, rollback(&heads, "e0", "e1r2"));
    assert_eq!(numbers(&events(&log)), "e1r2");
}

/// A rollback may append nothing.
///
/// Verifies: the local head falls to the rollback's end.
pub async fn a_rollback_alone_takes_events_away<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e2.1 e2.2");
    let heads = ok(&mut log, rollback(&heads, "e2.1", ""));
    assert_eq!((numbers(&events(&log)).as_str(), heads.local), ("e1 e2 e2.1", num("e2.1")));
    let heads = ok(&mut log, rollback(&heads, "e0", ""));
    assert_eq!((numbers(&events(&log)).as_str(), heads.local), ("", SeqNum::ROOT));
}

/// A rollback names the version that stays, generation included.
///
/// Verifies: another version of a known position, and a position beyond the head, are `Refused`.
pub async fn a_rollback_to_a_version_that_is_not_there_is_refused<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1r1 e2r1 e2.1r1");
    for missing in ["e1", "e2r2", "e2.2r1", "e3r1", "e1.1r1"] {
        refused(&mut log, rollback(&heads, missing, ""), missing);
    }
}

/// Nothing settled is rolled back, neither what upstream confirmed nor a client-only event after it.
///
/// Verifies: "Nothing settled is rolled back".
pub async fn a_rollback_behind_the_settled_head_is_refused<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e2.1 e3");
    let mut commit = confirming(LogCommit::new(&heads), "e2");
    commit.settled = num("e2.1");
    let heads = ok(&mut log, commit);
    for behind in ["e0", "e1", "e2"] {
        refused(&mut log, rollback(&heads, behind, ""), behind);
    }
    ok(&mut log, rollback(&heads, "e2.1", "e3r1"));
}

/// A version never comes back: what rolls back also raises the generation.
///
/// Verifies: a rollback with the old generation is `Refused`, one that takes nothing away is not.
pub async fn the_generation_must_rise_with_a_rollback<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2");
    let mut commit = rollback(&heads, "e1", "");
    commit.generation = heads.generation;
    refused(&mut log, commit, "a rollback in the same generation");
    let mut commit = rollback(&heads, "e2", "e3");
    commit.generation = heads.generation;
    ok(&mut log, commit);
}

/// The generation of a log only grows.
///
/// Verifies: a commit with a lower generation is `Refused`; one that only raises it is taken.
pub async fn the_generation_never_falls<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1r1");
    let mut raising = LogCommit::new(&heads);
    raising.generation = heads.generation.next();
    let raised = ok(&mut log, raising);
    assert_eq!(raised.generation, heads.generation.next());
    refused(&mut log, append(&heads, "e2r1"), "a lower generation");
}

/// Heads stand on events of the log, in order, and do not fall.
///
/// Verifies: upstream <= settled <= local; neither falls.
pub async fn heads_that_fall_or_float_are_refused<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e3");
    let heads = ok(&mut log, confirming(LogCommit::new(&heads), "e2"));
    for (settled, upstream) in [
        ("e1", "e1"),   // both fall
        ("e2", "e1"),   // upstream falls
        ("e1", "e2"),   // settled falls behind upstream
        ("e2", "e3"),   // upstream beyond settled
        ("e4", "e2"),   // settled beyond the log
        ("e4", "e4"),   // both beyond the log
        ("e3r1", "e2"), // another version
        ("e2.1", "e2"), // no such event
        ("e3", "e3r1"), // another version
    ] {
        let mut commit = LogCommit::new(&heads);
        (commit.settled, commit.upstream.head) = (num(settled), num(upstream));
        refused(&mut log, commit, &format!("settled {settled}, upstream {upstream}"));
    }
    let mut commit = rollback(&heads, "e2", "");
    commit.settled = num("e3");
    refused(&mut log, commit, "settled on what is rolled back");
    ok(&mut log, confirming(append(&heads, "e4"), "e4"));
}

/// A rebase that finds its first events confirmed writes them again as they were.
///
/// Verifies: appended events may be of an older generation than the log's.
pub async fn confirmed_events_keep_their_stamp_through_a_rollback<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e3");
    ok(&mut log, confirming(rollback(&heads, "e0", "e1 e2 e3r1 e4r1"), "e2"));
    assert_eq!(numbers(&events(&log)), "e1 e2 e3r1 e4r1");
}

/// A commit with many parts of which one breaks a rule does none of them.
///
/// Verifies: "or nothing of it happens".
pub async fn a_refused_commit_changes_nothing<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2 e3");
    let heads = ok(&mut log, confirming(LogCommit::new(&heads), "e1"));
    let mut everything = confirming(rollback(&heads, "e1", "e2r1 e3r1"), "e3r1");
    everything.upstream.cursor.token = Some(Bytes::from_static(b"new"));
    everything.upstream.backend_id = Some(BackendId::new("b2").expect("a valid id"));
    everything.identity =
        Some(Identity { client_id: ClientId::new("c2").expect("a valid id"), secret: ClientSecret([1; 16]) });
    everything.sessions = vec![SessionRecord {
        session_id: session_id("s1"),
        persisted: 9,
        gone: vec![GoneCommit { n: 2, reason: GoneReason::Archived }],
    }];

    let mut gap = everything.clone();
    gap.append.push(event(num("e9r1")));
    refused(&mut log, gap, "a gap at the end");
    let mut float = everything.clone();
    float.settled = num("e7");
    refused(&mut log, float, "a settled head that floats");
    let mut reset = everything.clone();
    reset.kind = LogCommitKind::Reset { base: num("e1r5"), reason: "no such base".into() };
    refused(&mut log, reset, "a reset to a version that is not there");
    ok(&mut log, everything);
}
