//! The one decision of sync: what a payload does to a log.

use livestore_traits::{Event, SeqNum};

use super::advance::{Advance, check_chain};
use super::amend::amend;
use super::local_push::local_push;
use super::outcome::{Change, MergeError, Outcome, Refusal};
use super::payload::Payload;
use super::renumber::renumber;
use super::state::{Level, SyncState};

/// Merges `payload` into `state` and tells what the log has to do.
///
/// Merging events one by one, in pages, or all at once leads to the same pending events and heads, generations aside.
/// Confirming and advancing cost the events involved; a rollback costs the pending events once.
///
/// # Errors
/// [`MergeError`] if a peer broke the rules. It and [`Outcome::Reject`] change nothing.
pub fn merge(state: &mut SyncState, payload: Payload) -> Result<Outcome, MergeError> {
    state.assert_valid();
    let outcome = match (state.level, payload) {
        (_, Payload::LocalPush { base, expected_n, events }) => local_push(state, base, expected_n, events),
        (_, Payload::Amend(amendment)) => Ok(Outcome::of(amend(state, amendment))),
        (_, Payload::Reset { base, keep }) => Ok(Outcome::of(reset(state, base, keep))),
        (Level::Leader, Payload::UpstreamAdvance { after, events, settled: None, pushed_through }) => {
            if after.position() != SeqNum::position(state.upstream_head) {
                return Err(MergeError::Gap { head: state.upstream_head, after });
            }
            check_chain(state.level, state.upstream_head, &events)?;
            let mut advance = Advance::new(state, pushed_through);
            events.into_iter().for_each(|event| advance.take(event));
            Ok(Outcome::of(advance.finish()))
        }
        (Level::Session, Payload::UpstreamAdvance { after, events, settled: Some(settled), .. }) => {
            session_advance(state, after, events, settled)
        }
        (Level::Session, Payload::UpstreamRebase { after, rollback_to, events, settled }) => {
            session_rebase(state, after, rollback_to, events, settled)
        }
        (Level::Session, Payload::Accepted { after, last, settled }) => accepted(state, after, last, settled),
        _ => Err(MergeError::WrongLevel),
    };
    state.assert_valid();
    outcome
}

/// The leader's log went on after `after`. What the session knows already is recognised by its full number.
fn session_advance(
    state: &mut SyncState,
    after: SeqNum,
    mut events: Vec<Event>,
    settled: SeqNum,
) -> Result<Outcome, MergeError> {
    let last = check_chain(state.level, after, &events)?;
    check_settled(settled, last)?;
    let Some(repeats) = known_repeats(state, after, &events) else {
        return Ok(Outcome::Reject(Refusal::Stale { at: state.upstream_head }));
    };
    let mut advance = Advance::new(state, Default::default());
    events.drain(repeats..).for_each(|event| advance.take(event));
    let change = advance.finish();
    raise_settled(state, settled);
    Ok(Outcome::of(change))
}

/// How many of `events` after `after` the session has; `None` if they are not of the history it is in.
fn known_repeats(state: &SyncState, after: SeqNum, events: &[Event]) -> Option<usize> {
    if after == state.upstream_head {
        return Some(0);
    }
    let begin = if after == state.settled_head {
        0
    } else {
        state.known.iter().position(|known| *known == after)? + 1
    };
    let known = state.known.iter().skip(begin);
    let repeats = known.len();
    let same = known.zip(events).all(|(known, event)| *known == event.num);
    (same && repeats <= events.len()).then_some(repeats)
}

/// The leader's log rolled back to `rollback_to`, then went on.
fn session_rebase(
    state: &mut SyncState,
    after: SeqNum,
    rollback_to: SeqNum,
    events: Vec<Event>,
    settled: SeqNum,
) -> Result<Outcome, MergeError> {
    let last = check_chain(state.level, rollback_to, &events)?;
    check_settled(settled, last)?;
    if after != state.upstream_head {
        return Ok(Outcome::Reject(Refusal::Stale { at: state.upstream_head }));
    }
    if rollback_to.position() < state.settled_head.position() {
        return Err(MergeError::BehindSettled { rollback_to, settled: state.settled_head });
    }
    if rollback_to.position() > state.upstream_head.position() {
        return Err(MergeError::Beyond { claimed: rollback_to, known: state.upstream_head });
    }
    while state.known.back().is_some_and(|known| known.position() > rollback_to.position()) {
        state.known.pop_back();
    }
    let mut advance = Advance::rolled_back(state, rollback_to);
    events.into_iter().for_each(|event| advance.take(event));
    let change = advance.finish();
    raise_settled(state, settled);
    Ok(Outcome::of(change))
}

/// The leader persisted the first pending events, up to the one that stands at `last`, as they are.
fn accepted(
    state: &mut SyncState,
    after: SeqNum,
    last: SeqNum,
    settled: SeqNum,
) -> Result<Outcome, MergeError> {
    check_settled(settled, last)?;
    if after != state.upstream_head {
        return Ok(Outcome::Reject(Refusal::Stale { at: state.upstream_head }));
    }
    let Some(index) = state.pending.iter().position(|event| event.num.position() == last.position()) else {
        return Err(MergeError::Beyond { claimed: last, known: state.local_head });
    };
    let mut change = Change::default();
    for event in state.pending.drain(..=index) {
        state.known.push_back(SeqNum { generation: last.generation, ..event.num });
        change.confirmed += 1;
    }
    state.upstream_head = last;
    state.generation = state.generation.max(last.generation);
    state.derive_local_head();
    raise_settled(state, settled);
    Ok(Outcome::Advance(change))
}

/// A new history begins at `base`, and `keep` follows it as pending.
fn reset(state: &mut SyncState, base: SeqNum, mut keep: Vec<Event>) -> Change {
    state.generation = state.generation.max(base.generation).next();
    renumber(base, state.generation, &mut keep);
    let change = Change { rollback_to: Some(base), append: keep.clone(), ..Change::default() };
    state.pending = keep.into();
    state.known.clear();
    state.upstream_head = base;
    state.settled_head = match state.level {
        Level::Leader => base,
        // A snapshot does not tell how far it is settled; the next payload does.
        Level::Session => SeqNum::ROOT,
    };
    state.settle_front();
    state.derive_local_head();
    change
}

/// A payload cannot settle what it does not reach.
fn check_settled(settled: SeqNum, last: SeqNum) -> Result<(), MergeError> {
    if settled.position() > last.position() {
        return Err(MergeError::Beyond { claimed: settled, known: last });
    }
    Ok(())
}

fn raise_settled(state: &mut SyncState, settled: SeqNum) {
    if settled.position() > state.settled_head.position() {
        state.settled_head = settled;
    }
    while state.known.front().is_some_and(|known| known.position() <= state.settled_head.position()) {
        state.known.pop_front();
    }
}
