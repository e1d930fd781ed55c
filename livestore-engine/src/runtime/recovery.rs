//! How a leader begins: fence earlier leaders, bring the state to the log's head, load what is pending.
//!
//! The log is the truth. The state may lag behind it after a crash, or may have followed a history that was rolled back
//! since; it is never ahead. Where its version is in the log, it is replayed from there; otherwise it is first undone to
//! the last event that both share; and where undo data does not reach so far, or the state turns out to be damaged, it is
//! rebuilt from the root.

use livestore_traits::{
    Event, Eventlog, EventlogError, Heads, Identity, LogCommit, MaterializeBatch, MaterializeError,
    Materializer, OnFailure, ReadLimit, SeqNum, Term, UnknownEvent,
};

use crate::processor::{Recovered, Returning};

/// Events per transaction while the state is replayed.
const REPLAY_EVENTS: usize = 1000;

/// How far a replay has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryProgress {
    /// The version that the state has reached.
    pub at: SeqNum,
    /// The version that it must reach.
    pub head: SeqNum,
    /// Events replayed so far.
    pub events: u64,
}

/// Why a leader cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The log cannot be used.
    #[error("the eventlog cannot be used")]
    Eventlog(#[from] EventlogError),
    /// The state cannot be used.
    #[error("the state cannot be used")]
    Materialize(#[from] MaterializeError),
}

/// What a recovery found.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) recovered: Recovered,
    /// Events that were replayed but that no materializer is declared for.
    pub(super) unknown: Vec<UnknownEvent>,
}

/// Begins a leadership of `term`: nothing is read before the log is fenced.
pub(super) fn recover(
    log: &mut dyn Eventlog,
    state: &mut dyn Materializer,
    term: Term,
    new_identity: impl FnOnce() -> Identity,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<Recovery, RecoveryError> {
    let mut heads = fence(log, term)?;
    let identity = match heads.identity.clone() {
        Some(identity) => identity,
        None => {
            let identity = new_identity();
            let commit = LogCommit { identity: Some(identity.clone()), ..LogCommit::new(&heads) };
            heads = log.commit(term, commit)?;
            identity
        }
    };
    let unknown = bring_up(log, state, &heads, progress)?;
    let pending = read_after(log, heads.settled)?;
    let archived = read_archived(&*log, heads.upstream.head)?;
    Ok(Recovery { recovered: Recovered { heads, identity, pending, archived }, unknown })
}

/// The own synced events of all archives after a position, as far as they are remembered.
fn read_archived(log: &dyn Eventlog, after: SeqNum) -> Result<Returning, EventlogError> {
    let mut archived = Returning::default();
    for archive in log.archives()? {
        let mut at = after.position();
        loop {
            let page = log.read_archive(archive.id, at, ReadLimit::events(REPLAY_EVENTS))?;
            let Some(last) = page.last() else { break };
            at = last.num.position();
            let own = page.into_iter().filter(|event| event.is_own && event.num.is_synced());
            own.for_each(|event| archived.note(event));
        }
    }
    Ok(archived)
}

/// Commits nothing, in the name of `term`: from then on no earlier leader changes the log.
fn fence(log: &mut dyn Eventlog, term: Term) -> Result<Heads, EventlogError> {
    let mut before = log.heads()?;
    loop {
        match log.commit(term, LogCommit::new(&before)) {
            // An earlier leader, which does not know yet that it is one, has gone on since the heads were read.
            Err(refused @ EventlogError::Refused(_)) => {
                let now = log.heads()?;
                if now == before {
                    return Err(refused);
                }
                before = now;
            }
            fenced => return fenced,
        }
    }
}

/// Brings the state to the log's head. Damage that shows on the way is one more reason to rebuild it: a state that was
/// opened in good faith would otherwise keep the store from ever starting again.
pub(super) fn bring_up(
    log: &dyn Eventlog,
    state: &mut dyn Materializer,
    heads: &Heads,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<Vec<UnknownEvent>, RecoveryError> {
    let followed =
        undo_to_shared(log, state, heads).and_then(|shared| replay(log, state, heads, shared, progress));
    match followed {
        Err(RecoveryError::Materialize(
            error @ (MaterializeError::NoUndo { .. } | MaterializeError::Corrupt(_)),
        )) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the state is made again from the log");
            state.reset()?;
            replay(log, state, heads, SeqNum::ROOT, progress)
        }
        followed => followed,
    }
}

/// Applies what the log has after `from`, which is the state's version.
fn replay(
    log: &dyn Eventlog,
    state: &mut dyn Materializer,
    heads: &Heads,
    from: SeqNum,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<Vec<UnknownEvent>, RecoveryError> {
    let (mut at, mut unknown, mut count) = (from, Vec::new(), 0);
    while at != heads.local {
        let events = log.read(at.position(), ReadLimit::events(REPLAY_EVENTS))?;
        let Some(last) = events.last().map(|event| event.num) else { break };
        let batch = MaterializeBatch {
            base: at,
            rollback_to: None,
            events: &events,
            settled: heads.settled.position(),
            on_failure: OnFailure::Quarantine,
        };
        unknown.extend(state.apply(batch)?.unknown);
        at = last;
        count += events.len() as u64;
        progress(RecoveryProgress { at, head: heads.local, events: count });
    }
    Ok(unknown)
}

fn undo_to_shared(
    log: &dyn Eventlog,
    state: &mut dyn Materializer,
    heads: &Heads,
) -> Result<SeqNum, RecoveryError> {
    let head = state.head()?;
    let shared = log.common(head)?;
    if shared != head {
        state.apply(MaterializeBatch {
            base: head,
            rollback_to: Some(shared),
            events: &[],
            settled: heads.settled.position().min(shared.position()),
            on_failure: OnFailure::Quarantine,
        })?;
    }
    Ok(shared)
}

/// All events after `after`.
fn read_after(log: &dyn Eventlog, after: SeqNum) -> Result<Vec<Event>, EventlogError> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let at = events.last().map_or(after, |event| event.num);
        let page = log.read(at.position(), ReadLimit::events(REPLAY_EVENTS))?;
        if page.is_empty() {
            return Ok(events);
        }
        events.extend(page);
    }
}
