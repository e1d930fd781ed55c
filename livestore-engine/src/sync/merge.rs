//! The one decision of sync: what a payload does to a log.

use livestore_traits::{Event, GlobalSeq, SeqNum};

use super::advance::{Advance, check_chain};
use super::amend::amend;
use super::invariants::Marks;
use super::local_push::local_push;
use super::outcome::{Change, MergeError, Outcome};
use super::payload::Payload;
use super::renumber::{check_range, renumber};
use super::session;
use super::state::{Level, SyncState};

/// Merges `payload` into `state` and tells what the log has to do.
///
/// Merging events one by one, in pages, or all at once leads to the same pending events and heads, generations aside.
/// Confirming and advancing cost the events involved; a rollback costs the pending events once.
///
/// # Errors
/// [`MergeError`] if a peer broke the rules. It and [`Outcome::Reject`] change nothing.
///
/// # Panics
/// If `state` is not valid, which no payload can bring about.
pub fn merge(state: &mut SyncState, payload: Payload) -> Result<Outcome, MergeError> {
    state.assert_valid();
    let before = Marks::of(state, &payload);
    let outcome = match (state.level, payload) {
        (_, Payload::LocalPush { base, expected_n, events }) => local_push(state, base, expected_n, events),
        (_, Payload::Amend(amendment)) => Ok(Outcome::of(amend(state, amendment))),
        (_, Payload::Reset { base, keep }) => reset(state, base, keep),
        (Level::Leader, Payload::UpstreamAdvance { after, events, settled: None, pushed_through }) => {
            leader_advance(state, after, events, pushed_through)
        }
        (Level::Session, Payload::UpstreamAdvance { after, events, settled: Some(settled), .. }) => {
            session::advance(state, after, events, settled)
        }
        (Level::Session, Payload::UpstreamRebase { after, rollback_to, events, settled }) => {
            session::rebase(state, after, rollback_to, events, settled)
        }
        (Level::Session, Payload::Accepted { after, last, settled }) => {
            session::accepted(state, after, last, settled)
        }
        (Level::Leader, Payload::UpstreamRebase { .. } | Payload::Accepted { .. })
        | (_, Payload::UpstreamAdvance { .. }) => Err(MergeError::WrongLevel),
    };
    state.assert_valid();
    before.assert_kept(state, &outcome);
    outcome
}

/// The backend's order went on after `after`, which is the upstream head: what is known already was trimmed before.
fn leader_advance(
    state: &mut SyncState,
    after: SeqNum,
    events: Vec<Event>,
    pushed_through: GlobalSeq,
) -> Result<Outcome, MergeError> {
    if after.position() != state.upstream_head.position() {
        return Err(MergeError::Gap { head: state.upstream_head, after });
    }
    check_chain(state.level, state.upstream_head, &events)?;
    let mut advance = Advance::new(state, pushed_through);
    events.into_iter().for_each(|event| advance.take(event));
    Ok(Outcome::of(advance.finish()))
}

/// A new history begins at `base`, and `keep` follows it as pending.
fn reset(state: &mut SyncState, base: SeqNum, mut keep: Vec<Event>) -> Result<Outcome, MergeError> {
    check_range(base)?;
    // Histories share what was confirmed, at most, and up to an event that the backend knows.
    let is_shared = base.is_synced() && base.position() <= state.upstream_head.position();
    if state.level == Level::Leader && !is_shared {
        return Err(MergeError::Beyond { claimed: base, known: state.upstream_head });
    }
    state.generation = state.generation.max(base.generation).next();
    close_units(&mut keep);
    renumber(base, state.generation, &mut keep);
    let change = Change { rollback_to: Some(base), append: keep.clone(), ..Change::default() };
    state.pending = keep.into();
    state.upstream_head = base;
    match state.level {
        Level::Leader => state.settled_head = base,
        Level::Session => {
            // A snapshot does not tell how far it is settled; the next payload does.
            state.settled_head = SeqNum::ROOT;
            state.known = [base].into();
        }
    }
    state.settle_front();
    state.derive_local_head();
    Ok(Outcome::of(change))
}

/// What was archived may have held the ends of units. Without an end, what is left of a unit would run into the next.
fn close_units(events: &mut [Event]) {
    let unit = |event: &Event| (event.session_id.clone(), event.commit.map(|commit| commit.n));
    for index in 0..events.len() {
        let is_last = events.get(index + 1).is_none_or(|next| unit(next) != unit(&events[index]));
        events[index].unit_end |= is_last;
    }
}
