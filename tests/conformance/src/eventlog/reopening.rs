//! Cases: what is there after a log was dropped and opened again.

use bytes::Bytes;
use livestore_traits::{
    ArchiveInfo, BackendId, ClientId, ClientSecret, Eventlog, EventlogError, EventlogReader, GoneCommit,
    GoneReason, Identity, LogCommit, SessionRecord, Term,
};

use super::EventlogFixture;
use super::build::*;

fn reopen<F: EventlogFixture>(fixture: &F, storage: &F::Storage, log: F::Eventlog) -> F::Eventlog {
    drop(log);
    fixture.open(storage).expect("a log that was dropped can be opened at once")
}

/// Events, heads, cursor, identity, sessions and archives are there again, after each of several commits.
///
/// Verifies: "durable step", for everything that a commit can carry.
pub async fn everything_survives_reopening<F: EventlogFixture>(fixture: &F) {
    if !F::REOPENS {
        return eprintln!("skipped: the log is not kept");
    }
    let (storage, mut log, heads) = create_with(fixture, "e1 e1.1 e2 e3");
    let mut first = confirming(append(&heads, "e4"), "e1");
    first.settled = num("e1.1");
    first.upstream.cursor.token = Some(Bytes::from_static(b"\0\x01"));
    first.upstream.backend_id = Some(BackendId::new("b1").expect("a valid id"));
    first.identity = Some(Identity {
        client_id: ClientId::new("abc123").expect("a valid id"),
        secret: ClientSecret([7; 16]),
    });
    first.sessions = vec![SessionRecord {
        session_id: session_id("s1"),
        persisted: 4,
        gone: vec![GoneCommit { n: 2, reason: GoneReason::Rejected("no".into()) }],
    }];
    let heads = ok(&mut log, first);
    let second = rollback(&heads, "e1.1", "e2r1 e3r1");
    let third = |heads: &_| reset(heads, "e1", "e2r2");
    let heads = check_reopened(fixture, &storage, &mut log, second);
    let commit = third(&heads);
    let heads = check_reopened(fixture, &storage, &mut log, commit);
    check_reopened(fixture, &storage, &mut log, append(&heads, "e2.1r2"));
    assert_eq!(numbers(&events(&log)), "e1 e2r2 e2.1r2");
    let archives: Vec<ArchiveInfo> = log.archives().expect("archives");
    assert_eq!(archives.len(), 1);
    assert_eq!(numbers(&archived(&log, 1)), "e1.1 e2r1 e3r1");
}

fn check_reopened<F: EventlogFixture>(
    fixture: &F,
    storage: &F::Storage,
    log: &mut F::Eventlog,
    commit: LogCommit,
) -> livestore_traits::Heads {
    let heads = ok(log, commit);
    let before = View::of(log);
    // The place of `log` is taken by a log elsewhere, so that it is dropped before its storage is opened again.
    let elsewhere = fixture.storage();
    let placeholder = fixture.open(&elsewhere).expect("an empty place can be opened");
    *log = reopen(fixture, storage, std::mem::replace(log, placeholder));
    assert_eq!(View::of(log), before);
    heads
}

/// A leader of before a restart stays fenced after it.
///
/// Verifies: the term is durable, also when it came with an empty commit.
pub async fn fencing_survives_reopening<F: EventlogFixture>(fixture: &F) {
    if !F::REOPENS {
        return eprintln!("skipped: the log is not kept");
    }
    let (storage, mut log, heads) = create_with(fixture, "e1");
    log.commit(Term(9), LogCommit::new(&heads)).expect("a newer term is taken");
    let mut log = reopen(fixture, &storage, log);
    assert!(matches!(
        log.commit(Term(8), LogCommit::new(&heads)),
        Err(EventlogError::Fenced { current: Term(9), offered: Term(8) })
    ));
}

/// A refused commit is not found later either.
///
/// Verifies: refusals are rolled back in the storage, not only in memory.
pub async fn refusals_leave_no_trace_after_reopening<F: EventlogFixture>(fixture: &F) {
    if !F::REOPENS {
        return eprintln!("skipped: the log is not kept");
    }
    let (storage, mut log, heads) = create_with(fixture, "e1 e2");
    refused(&mut log, append(&heads, "e3 e4 e6"), "a gap");
    refused(&mut log, rollback(&heads, "e1r4", "e2r1"), "a rollback to nowhere");
    let before = View::of(&log);
    let mut log = reopen(fixture, &storage, log);
    assert_eq!(View::of(&log), before);
    ok(&mut log, append(&heads, "e3"));
}
