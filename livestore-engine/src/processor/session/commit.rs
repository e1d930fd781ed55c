//! Commits: numbered, applied to the session's state by the runtime, and only then taken as pending.
//!
//! ```text
//!   prepare ──▶ (apply to the state) ──▶ complete ──▶ pending
//!      └── refused, no trace ◀── fails
//! ```

use std::time::Instant;

use livestore_traits::{
    ArgsError, CommitRef, Event, EventKind, MaterializeError, NewEvent, Position, SeqNum,
};

use super::SessionProcessor;
use crate::sync::{Outcome, Payload, merge};

/// A commit that is to be applied to the state before it counts.
#[derive(Debug)]
pub struct SessionTransaction {
    /// The version that the state is at.
    pub base: SeqNum,
    /// The numbered events: one unit.
    pub events: Vec<Event>,
    /// Undo data up to here is not needed.
    pub settled: Position,
}

/// A commit that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitOutcome {
    /// Which commit of the session it is.
    pub n: u64,
    /// The number of its last event for now.
    pub num: SeqNum,
}

/// Why a commit was refused; it left no trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// There are no events in it.
    #[error("a commit needs at least one event")]
    Empty,
    /// The session has not been attached to a leader yet.
    #[error("the session is not attached yet")]
    NotAttached,
    /// Its args are not what JavaScript would read.
    #[error("the args of an event cannot be committed")]
    Args(#[source] ArgsError),
    /// The unit is larger than one push may be.
    #[error(
        "a commit of {events} events and {bytes} bytes is too large: {max_events} events and {max_bytes} bytes are allowed"
    )]
    TooLarge {
        /// Its synced events.
        events: usize,
        /// The bytes of all its events.
        bytes: usize,
        /// How many may be in one commit.
        max_events: usize,
        /// How many bytes they may have.
        max_bytes: usize,
    },
    /// Too many events are unconfirmed already.
    #[error("{limit} events are unconfirmed; no more are taken before some are confirmed")]
    TooManyPending {
        /// How many may be.
        limit: usize,
    },
    /// The materializer of an event failed, or it has none.
    #[error("the commit was refused")]
    Refused(#[source] MaterializeError),
    /// The store is shut down, or its state failed.
    #[error("the store is closed")]
    Closed,
}

impl SessionProcessor {
    /// Numbers a commit. Apply it to the state, then call [`Self::complete`]; if applying fails, drop it.
    ///
    /// # Errors
    /// [`CommitError`] if the commit cannot be taken whatever the state says.
    pub fn prepare(&self, events: Vec<NewEvent>) -> Result<SessionTransaction, CommitError> {
        let client_id = self.client_id.as_ref().ok_or(CommitError::NotAttached)?;
        // The first known version is the settled one before them.
        let unconfirmed = self.state.pending.len() + self.state.known.len().saturating_sub(1);
        if unconfirmed + events.len() > self.config.max_pending_events {
            return Err(CommitError::TooManyPending { limit: self.config.max_pending_events });
        }
        let count = events.len();
        let (mut head, generation) = (self.state.local_head, self.state.generation);
        let mut unit = Vec::with_capacity(count);
        for (index, event) in (0..).zip(events) {
            event.args.check_js().map_err(CommitError::Args)?;
            head = match event.kind {
                EventKind::Synced => head.next_synced(generation),
                EventKind::ClientOnly => head.next_client_only(generation),
            };
            unit.push(Event {
                num: head,
                name: event.name,
                args: event.args,
                client_id: client_id.clone(),
                session_id: self.session_id.clone(),
                commit: Some(CommitRef { n: self.n + 1, index }),
                unit_end: index as usize + 1 == count,
                is_own: true,
            });
        }
        self.check_size(&unit)?;
        Ok(SessionTransaction {
            base: self.state_head,
            events: unit,
            settled: self.state.settled_head.position(),
        })
    }

    fn check_size(&self, unit: &[Event]) -> Result<(), CommitError> {
        let limits = &self.config.limits;
        let count = unit.iter().filter(|event| event.num.is_synced()).count();
        // Client-only events, too: a unit goes to the leader in one message.
        let bytes = unit.iter().map(Event::encoded_len).sum();
        let largest = unit.iter().map(Event::encoded_len).max().ok_or(CommitError::Empty)?;
        if count > limits.max_batch_events
            || bytes > limits.max_batch_bytes
            || largest > limits.max_event_bytes
        {
            return Err(CommitError::TooLarge {
                events: count,
                bytes,
                max_events: limits.max_batch_events,
                max_bytes: limits.max_batch_bytes.min(limits.max_event_bytes),
            });
        }
        Ok(())
    }

    /// Takes a commit whose events have been applied to the state. Poll effects afterwards.
    pub fn complete(&mut self, now: Instant, transaction: SessionTransaction) -> CommitOutcome {
        self.now = now;
        let payload = Payload::LocalPush {
            base: self.state.local_head,
            expected_n: self.n + 1,
            events: transaction.events,
        };
        match merge(&mut self.state, payload) {
            Ok(Outcome::Advance(_)) => {}
            other => panic!("a commit that was just prepared was refused: {other:?}"),
        }
        self.n += 1;
        self.receipts.committed(self.n);
        self.state_head = self.state.local_head;
        CommitOutcome { n: self.n, num: self.state.local_head }
    }
}
