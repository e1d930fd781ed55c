//! What comes from below: commits of the application at a session, pushes of sessions at the leader.

use livestore_traits::{CommitRef, Event, SeqNum};

use super::outcome::{Change, MergeError, Outcome, Refusal};
use super::renumber::{next, renumber};
use super::state::SyncState;

/// Appends `events` if they build on the local head, generation included, and begin with the commit `expected_n`.
///
/// Without the check of the commit, a push that is repeated after its commit was dropped would bring it back.
pub(super) fn local_push(
    state: &mut SyncState,
    base: SeqNum,
    expected_n: u64,
    mut events: Vec<Event>,
) -> Result<Outcome, MergeError> {
    // First of all: a session that lacks events may hold part of a unit that the log has whole, and push that.
    if base != state.local_head {
        return Ok(Outcome::Reject(Refusal::WrongBase { expected: state.local_head }));
    }
    let first = check_units(&events)?;
    check_numbers(base, &events)?;
    if first != expected_n {
        return Ok(Outcome::Reject(Refusal::WrongCommit { expected: expected_n }));
    }
    state.local_head = renumber(state.local_head, state.generation, &mut events);
    state.pending.extend(events.iter().cloned());
    state.settle_front();
    Ok(Outcome::Advance(Change { append: events, ..Change::default() }))
}

/// Checks that the events are whole units of one session, in order, and returns the first one's commit.
fn check_units(events: &[Event]) -> Result<u64, MergeError> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Err(MergeError::Units("no events"));
    };
    let Some(CommitRef { n: first_n, index: 0 }) = first.commit else {
        return Err(MergeError::Units("the first event does not begin a unit"));
    };
    if !last.unit_end {
        return Err(MergeError::Units("the last event does not end a unit"));
    }
    let mut expected = CommitRef { n: first_n, index: 0 };
    for event in events {
        if !event.is_own || event.session_id != first.session_id {
            return Err(MergeError::Units("events of several sessions"));
        }
        if event.commit != Some(expected) {
            return Err(MergeError::Units("the commits are not in order"));
        }
        // Saturating: no honest session counts that far, and a dishonest one must not stop the leader.
        expected = if event.unit_end {
            CommitRef { n: expected.n.saturating_add(1), index: 0 }
        } else {
            CommitRef { n: expected.n, index: expected.index.saturating_add(1) }
        };
    }
    Ok(first_n)
}

/// Checks that the events are one chain on `base`; the generations of a pusher do not count.
fn check_numbers(base: SeqNum, events: &[Event]) -> Result<(), MergeError> {
    let mut head = base;
    for event in events {
        let expected = next(head, event.kind(), event.num.generation);
        if event.num != expected {
            return Err(MergeError::BrokenChain { after: head, found: event.num });
        }
        head = event.num;
    }
    Ok(())
}
