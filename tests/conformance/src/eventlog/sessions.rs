//! Cases: what a log keeps of sessions and of the client.

use livestore_traits::{
    ClientId, ClientSecret, GoneCommit, GoneReason, Heads, Identity, LogCommit, SessionRecord,
};

use super::EventlogFixture;
use super::build::*;

fn record(id: &str, persisted: u64, gone: &[(u64, GoneReason)]) -> SessionRecord {
    let gone = gone.iter().cloned().map(|(n, reason)| GoneCommit { n, reason }).collect();
    SessionRecord { session_id: session_id(id), persisted, gone }
}

fn rejected(why: &str) -> GoneReason {
    GoneReason::Rejected(why.into())
}

fn commit_of(heads: &Heads, sessions: &[SessionRecord]) -> LogCommit {
    let mut commit = LogCommit::new(heads);
    commit.sessions = sessions.to_vec();
    commit
}

/// The last persisted commit of a session only grows, whatever a commit says.
///
/// Verifies: `persisted` is raised, never lowered, also by a rollback of the events.
pub async fn sessions_never_fall<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2");
    ok(&mut log, commit_of(&heads, &[record("s1", 2, &[])]));
    assert_eq!(session(&log, "s1"), Some(record("s1", 2, &[])));
    ok(&mut log, commit_of(&heads, &[record("s1", 1, &[])]));
    assert_eq!(session(&log, "s1"), Some(record("s1", 2, &[])));
    let heads = ok(&mut log, rollback(&heads, "e0", ""));
    assert_eq!(session(&log, "s1"), Some(record("s1", 2, &[])));
    ok(&mut log, commit_of(&heads, &[record("s1", 7, &[])]));
    assert_eq!(session(&log, "s1"), Some(record("s1", 7, &[])));
}

/// Commits that are gone are added to those known; the first reason given stays.
///
/// Verifies: dropped commits stay listed, each once.
pub async fn gone_commits_add_up<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1");
    ok(
        &mut log,
        commit_of(&heads, &[record("s1", 5, &[(3, rejected("too ‘large’\n")), (1, GoneReason::Archived)])]),
    );
    ok(&mut log, commit_of(&heads, &[record("s1", 5, &[(3, GoneReason::Archived), (4, rejected(""))])]));
    ok(&mut log, commit_of(&heads, &[record("s1", 6, &[])]));
    let expected =
        record("s1", 6, &[(1, GoneReason::Archived), (3, rejected("too ‘large’\n")), (4, rejected(""))]);
    assert_eq!(session(&log, "s1"), Some(expected));
    ok(
        &mut log,
        commit_of(&heads, &[record("s2", 1, &[(1, rejected("a"))]), record("s2", 2, &[(2, rejected("b"))])]),
    );
    assert_eq!(session(&log, "s2"), Some(record("s2", 2, &[(1, rejected("a")), (2, rejected("b"))])));
}

/// Sessions whose ids begin alike, or differ only in case, are different sessions.
///
/// Verifies: records are kept by the whole id.
pub async fn sessions_are_told_apart<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log) = create(fixture);
    let ids = ["s", "s1", "S1", "s10", "s1 ", "ß", "s%", "s_"];
    let records: Vec<_> = (1..).zip(ids).map(|(n, id)| record(id, n, &[(n, rejected(id))])).collect();
    ok(&mut log, commit_of(&Heads::default(), &records));
    for (id, expected) in ids.into_iter().zip(records) {
        assert_eq!(session(&log, id), Some(expected));
    }
    assert_eq!(session(&log, "s2"), None);
}

/// The client's name stays until a commit brings another.
///
/// Verifies: `identity: None` keeps the identity.
pub async fn an_identity_stays_until_it_is_replaced<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log) = create(fixture);
    let identity = |name: &str, byte| Identity {
        client_id: ClientId::new(name).expect("a valid id"),
        secret: ClientSecret([byte; 16]),
    };
    let mut commit = LogCommit::new(&Heads::default());
    commit.identity = Some(identity("abc123", 0));
    let heads = ok(&mut log, commit);
    let heads = ok(&mut log, append(&heads, "e1"));
    assert_eq!(heads.identity, Some(identity("abc123", 0)));
    let mut commit = rollback(&heads, "e0", "e1r1");
    commit.identity = Some(identity("xyz789", 255));
    let heads = ok(&mut log, commit);
    assert_eq!(ok(&mut log, reset(&heads, "e0", "")).identity, Some(identity("xyz789", 255)));
}

/// A new history does not make a session forget what it was told.
///
/// Verifies: `persisted` and gone commits stay through `Reset`.
pub async fn sessions_survive_a_reset<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2");
    ok(&mut log, commit_of(&heads, &[record("s1", 2, &[(1, rejected("no"))]), record("s2", 4, &[])]));
    let mut commit = reset(&heads, "e0", "");
    commit.sessions = vec![record("s1", 0, &[(2, GoneReason::Archived)])];
    ok(&mut log, commit);
    assert_eq!(session(&log, "s1"), Some(record("s1", 2, &[(1, rejected("no")), (2, GoneReason::Archived)])));
    assert_eq!(session(&log, "s2"), Some(record("s2", 4, &[])));
}
