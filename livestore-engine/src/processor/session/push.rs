//! The session's push: one attempt at a time, whole units, answered on the leader's one ordered stream.

use std::time::{Duration, Instant};

use livestore_traits::{Event, SeqNum, SessionMessage, SessionPush};

use super::{SessionEffect, SessionProcessor};
use crate::sync::{Outcome, Payload, merge};

/// How long items that a refused push is waiting for may take: then the session asks for them.
const REFUSED_PATIENCE: Duration = Duration::from_millis(200);

/// A push to the leader that is not answered.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) attempt: u64,
    base: SeqNum,
    pub(super) deadline: Instant,
}

impl SessionProcessor {
    /// Pushes the first pending units if nothing is in the way.
    pub(super) fn start_push(&mut self) -> Option<SessionEffect> {
        if self.in_flight.is_some() || self.refused_until.is_some() || self.state.pending.is_empty() {
            return None;
        }
        if self.first_pending_n().is_some_and(|n| n <= self.receipts.persisted()) {
            // An earlier attachment brought it into the leader's log, and it is coming back on the stream.
            return None;
        }
        let last = self.push_end()?;
        let events: Vec<Event> = self.state.pending.iter().take(last + 1).cloned().collect();
        self.attempts += 1;
        let (attempt, base) = (self.attempts, self.state.upstream_head);
        self.in_flight = Some(InFlight { attempt, base, deadline: self.now + self.config.push_timeout });
        Some(SessionEffect::Send(SessionMessage::Push(SessionPush { attempt, base, events })))
    }

    pub(super) fn push_accepted(&mut self, attempt: u64, after: SeqNum, last: SeqNum, settled: SeqNum) {
        if self.in_flight.as_ref().is_some_and(|push| push.attempt == attempt) {
            self.in_flight = None;
        }
        let accepted: Vec<Event> = self
            .state
            .pending
            .iter()
            .take_while(|event| event.num.position() <= last.position())
            .map(|event| Event { num: SeqNum { generation: last.generation, ..event.num }, ..event.clone() })
            .collect();
        match merge(&mut self.state, Payload::Accepted { after, last, settled }) {
            Ok(Outcome::Advance(change) | Outcome::Rebase(change)) => {
                self.note_followed();
                self.unforgotten += change.confirmed;
                let persisted = self.receipts.follow(&self.session_id, None, &accepted);
                self.tell(persisted);
                self.tell_settled();
            }
            Ok(Outcome::Reject(_)) => self.refresh(),
            Err(error) => self.restart(&error),
        }
    }

    /// Where the first push of pending ends: whole units within the bounds, or the first unit alone.
    fn push_end(&self) -> Option<usize> {
        let (mut end, mut bytes) = (None, 0);
        for (index, event) in self.state.pending.iter().enumerate() {
            bytes += event.args.len();
            if end.is_some() && (index >= self.config.max_push_events || bytes > self.config.max_push_bytes) {
                break;
            }
            if event.unit_end {
                end = Some(index);
            }
        }
        end
    }

    /// The push did not build on the leader's head: what it lacks has come or is coming.
    pub(super) fn push_refused(&mut self, attempt: u64, knows_better: bool) {
        let Some(push) = self.in_flight.take_if(|push| push.attempt == attempt) else { return };
        if push.base == self.state.upstream_head && !knows_better {
            self.refused_until = Some(self.now + REFUSED_PATIENCE);
        }
    }
}
