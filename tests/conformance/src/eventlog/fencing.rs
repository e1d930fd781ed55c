//! Cases: terms, and several handles on one log.

use livestore_traits::{Eventlog, EventlogError, EventlogReader, Heads, LogCommit, Term};

use super::EventlogFixture;
use super::build::*;

/// The first act of a leader is a commit that only brings its term.
///
/// Verifies: an empty commit stores the term and nothing else.
pub async fn a_leader_begins_with_an_empty_commit<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1 e2");
    for term in [Term(2), Term(2), Term(7)] {
        let taken = log.commit(term, LogCommit::new(&heads)).expect("a newer term is taken");
        assert_eq!(taken, Heads { term, ..heads.clone() });
        assert_eq!(log.heads().expect("heads"), taken);
    }
    assert_eq!(numbers(&events(&log)), "e1 e2");
}

/// Once a newer leader has written, an older one cannot, whatever it writes.
///
/// Verifies: `Fenced` with both terms; nothing changes.
pub async fn an_older_term_is_fenced<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1");
    let heads = log.commit(Term(5), LogCommit::new(&heads)).expect("a newer term is taken");
    let before = View::of(&log);
    for commit in [LogCommit::new(&heads), append(&heads, "e2"), reset(&heads, "e0", "e1r1")] {
        match log.commit(Term(4), commit) {
            Err(EventlogError::Fenced { current, offered }) => {
                assert_eq!((current, offered), (Term(5), Term(4)));
            }
            other => panic!("an older term was not fenced: {other:?}"),
        }
    }
    assert_eq!(View::of(&log), before);
    log.commit(Term(5), append(&heads, "e2")).expect("the leader goes on");
}

/// A leader that was suspended and replaced cannot write with the handle it kept.
///
/// Verifies: fencing "also through another handle of the same storage", after an empty commit alone.
pub async fn fencing_holds_across_handles<F: EventlogFixture>(fixture: &F) {
    let (storage, mut old, heads) = create_with(fixture, "e1");
    let Some(mut new) = fixture.second(&storage, &old) else {
        return eprintln!("skipped: a log has one handle only");
    };
    let heads = new.commit(Term(2), LogCommit::new(&heads)).expect("a newer term is taken");
    assert!(matches!(old.commit(TERM, append(&heads, "e2")), Err(EventlogError::Fenced { .. })));
    new.commit(Term(2), append(&heads, "e2")).expect("the new leader writes");
    assert!(matches!(old.commit(TERM, append(&heads, "e2")), Err(EventlogError::Fenced { .. })));
    assert_eq!(numbers(&events(&new)), "e1 e2");
    assert_eq!(View::of(&old), View::of(&new));
}

/// Heads come from the storage, not from what a handle remembers.
///
/// Verifies: a commit is checked against what another handle wrote.
pub async fn two_handles_see_one_log<F: EventlogFixture>(fixture: &F) {
    let (storage, mut one, start) = create_with(fixture, "e1");
    let Some(mut two) = fixture.second(&storage, &one) else {
        return eprintln!("skipped: a log has one handle only");
    };
    let heads = ok(&mut two, append(&start, "e2 e3"));
    refused(&mut one, append(&start, "e2"), "a commit on heads that are not those of the log");
    let heads = ok(&mut one, append(&heads, "e4"));
    assert_eq!(two.heads().expect("heads"), heads);
    assert_eq!(numbers(&events(&two)), "e1 e2 e3 e4");
}

/// Being fenced does not close a log: its process may win a later election.
///
/// Verifies: only a failure closes; `Fenced` changes nothing.
pub async fn a_fenced_handle_recovers_with_a_newer_term<F: EventlogFixture>(fixture: &F) {
    let (_storage, mut log, heads) = create_with(fixture, "e1");
    log.commit(Term(5), LogCommit::new(&heads)).expect("a newer term is taken");
    assert!(matches!(log.commit(Term(3), LogCommit::new(&heads)), Err(EventlogError::Fenced { .. })));
    let heads = log.commit(Term(6), append(&heads, "e2")).expect("a newer term is taken");
    assert_eq!((heads.term, heads.local), (Term(6), num("e2")));
}

/// Opening a log that is open either gives a second handle on it or says that it is in use.
///
/// Verifies: never a second log, never a damaged one.
pub async fn opening_twice_is_shared_or_refused<F: EventlogFixture>(fixture: &F) {
    let (storage, mut log, heads) = create_with(fixture, "e1");
    match fixture.open(&storage) {
        Ok(second) => assert_eq!(View::of(&second), View::of(&log)),
        Err(EventlogError::InUse) => {}
        Err(error) => panic!("opening a log that is open: {error:?}"),
    }
    ok(&mut log, append(&heads, "e2"));
    assert_eq!(numbers(&events(&log)), "e1 e2");
}
