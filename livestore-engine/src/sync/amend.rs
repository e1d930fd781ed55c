//! Changes of own pending events that come from nowhere upstream: a refused unit is dropped, a client id replaced.

use livestore_traits::Event;

use super::outcome::Change;
use super::payload::Amendment;
use super::renumber::renumber;
use super::state::SyncState;

/// Rolls back from the first event that changes and renumbers what stays; without such an event nothing changes.
pub(super) fn amend(state: &mut SyncState, amendment: Amendment) -> Change {
    let is_affected = |event: &Event| match &amendment {
        Amendment::Drop { session_id, commits } => event
            .identity()
            .is_some_and(|(session, commit)| session == session_id && commits.contains(&commit.n)),
        Amendment::ReplaceClientId(client_id) => event.is_own && event.client_id != *client_id,
    };
    let Some(first) = state.pending.iter().position(is_affected) else { return Change::default() };
    let rollback_to = match first.checked_sub(1) {
        Some(before) => state.pending[before].num,
        None => state.base(),
    };
    let mut changed: Vec<_> = state.pending.drain(first..).collect();
    match amendment {
        Amendment::Drop { .. } => changed.retain(|event| !is_affected(event)),
        Amendment::ReplaceClientId(ref client_id) => {
            for event in changed.iter_mut().filter(|event| event.is_own) {
                event.client_id = client_id.clone();
            }
        }
    }
    state.generation = state.generation.next();
    renumber(rollback_to, state.generation, &mut changed);
    let change = Change { rollback_to: Some(rollback_to), append: changed.clone(), ..Change::default() };
    state.pending.extend(changed);
    state.settle_front();
    state.derive_local_head();
    change
}
