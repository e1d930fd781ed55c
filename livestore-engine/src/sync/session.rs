//! What a session does with its leader's payloads: which of them fit the version it is at, and which do not.
//!
//! ```text
//! settled head        upstream head         local head
//!      e4 ── e5r1 ── e5.1r1 │ e6' ── e7'            known: e4 e5r1 e5.1r1    pending: e6' e7'
//! ```

use livestore_traits::{Event, GlobalSeq, SeqNum};

use super::advance::{Advance, check_chain};
use super::outcome::{Change, MergeError, Outcome, Refusal};
use super::renumber::check_range;
use super::state::SyncState;

/// The leader's log went on after `after`. What the session has already is recognised by its full number and skipped.
pub(super) fn advance(
    state: &mut SyncState,
    after: SeqNum,
    mut events: Vec<Event>,
    settled: SeqNum,
) -> Result<Outcome, MergeError> {
    check_chain(state.level, after, &events)?;
    let Some(repeats) = repeats(state, after, &events) else {
        return Ok(stale(state));
    };
    check_settled(state, after, events.iter().map(|event| event.num), settled)?;
    let mut advance = Advance::new(state, GlobalSeq::ROOT);
    events.drain(repeats..).for_each(|event| advance.take(event));
    let change = advance.finish();
    raise_settled(state, settled);
    Ok(Outcome::of(change))
}

/// The leader's log rolled back to `rollback_to`, then went on.
pub(super) fn rebase(
    state: &mut SyncState,
    after: SeqNum,
    rollback_to: SeqNum,
    events: Vec<Event>,
    settled: SeqNum,
) -> Result<Outcome, MergeError> {
    check_chain(state.level, rollback_to, &events)?;
    if after != state.upstream_head {
        return Ok(stale(state));
    }
    if rollback_to.position() < state.settled_head.position() {
        return Err(MergeError::BehindSettled { rollback_to, settled: state.settled_head });
    }
    check_known(state, rollback_to)?;
    check_settled(state, rollback_to, events.iter().map(|event| event.num), settled)?;
    while state.known.back().is_some_and(|known| known.position() > rollback_to.position()) {
        state.known.pop_back();
    }
    if state.known.is_empty() {
        state.known.push_back(rollback_to);
    }
    let mut advance = Advance::rolled_back(state, rollback_to);
    events.into_iter().for_each(|event| advance.take(event));
    let change = advance.finish();
    raise_settled(state, settled);
    Ok(Outcome::of(change))
}

/// The leader persisted the first pending events, up to the one that stands at `last`, as they are.
pub(super) fn accepted(
    state: &mut SyncState,
    after: SeqNum,
    last: SeqNum,
    settled: SeqNum,
) -> Result<Outcome, MergeError> {
    check_range(last)?;
    if after != state.upstream_head {
        return Ok(stale(state));
    }
    let Ok(index) = state.pending.binary_search_by_key(&last.position(), |event| event.num.position()) else {
        return Err(MergeError::Beyond { claimed: last, known: state.local_head });
    };
    if !state.pending[index].unit_end {
        return Err(MergeError::Units("an acknowledgement ends within a unit"));
    }
    if last.generation < after.generation {
        return Err(MergeError::BrokenChain { after, found: last });
    }
    let stamped = |event: &Event| SeqNum { generation: last.generation, ..event.num };
    let confirmed: Vec<SeqNum> = state.pending.range(..=index).map(stamped).collect();
    check_settled(state, after, confirmed.iter().copied(), settled)?;
    state.pending.drain(..=index);
    state.known.extend(confirmed);
    state.upstream_head = last;
    state.generation = state.generation.max(last.generation);
    state.derive_local_head();
    raise_settled(state, settled);
    Ok(Outcome::Advance(Change { confirmed: index + 1, ..Change::default() }))
}

/// The payload was made for another version: the session asks for the stream from its own.
fn stale(state: &SyncState) -> Outcome {
    Outcome::Reject(Refusal::Stale { at: state.upstream_head })
}

/// How many of `events` after `after` the session has; `None` if they are not of the history it is in.
fn repeats(state: &SyncState, after: SeqNum, events: &[Event]) -> Option<usize> {
    let at = place_of(state, after).ok().filter(|place| state.known[*place] == after)?;
    let known = state.known.range(at + 1..);
    let repeats = known.len().min(events.len());
    known.zip(events).all(|(known, event)| *known == event.num).then_some(repeats)
}

/// Where the position of `version` is, or would be, among the known versions.
fn place_of(state: &SyncState, version: SeqNum) -> Result<usize, usize> {
    state.known.binary_search_by_key(&version.position(), |known| known.position())
}

/// Checks that the session has this very version, as far back as it can tell.
fn check_known(state: &SyncState, version: SeqNum) -> Result<(), MergeError> {
    match place_of(state, version) {
        Ok(place) if state.known[place] == version => Ok(()),
        Err(0) => Ok(()),
        Ok(_) | Err(_) => Err(MergeError::Unknown { version }),
    }
}

/// A payload that brings `arrived` after `base` settles only versions that are there then.
fn check_settled(
    state: &SyncState,
    base: SeqNum,
    mut arrived: impl Iterator<Item = SeqNum>,
    settled: SeqNum,
) -> Result<(), MergeError> {
    check_range(settled)?;
    if settled.position() <= state.settled_head.position() {
        // An older payload: the settled head does not fall.
        Ok(())
    } else if settled.position() <= base.position() {
        check_known(state, settled)
    } else if arrived.any(|num| num == settled) {
        Ok(())
    } else {
        Err(MergeError::Unknown { version: settled })
    }
}

/// The settled head only rises; what is before it needs not be recognised any more.
fn raise_settled(state: &mut SyncState, settled: SeqNum) {
    if settled.position() > state.settled_head.position() {
        state.settled_head = settled;
    }
    while state.known.get(1).is_some_and(|known| known.position() <= state.settled_head.position()) {
        state.known.pop_front();
    }
}
