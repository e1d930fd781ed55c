//! What items do: merged, followed by the state and by receipts, or answered with a refresh or a new start.

use std::time::Instant;

use livestore_traits::{ClientId, GlobalSeq, GoneCommit, SessionMessage, SessionPayload};

use super::receipts::ReceiptUpdate;
use super::{FORGET_AFTER, LinkState, SessionEffect, SessionProcessor};
use crate::sync::{Amendment, Change, MergeError, Outcome, Payload, Refusal, merge};

impl SessionProcessor {
    pub(super) fn merge_item(&mut self, payload: SessionPayload) {
        self.refused_until = None;
        let (payload, rollback_to, events) = match payload {
            SessionPayload::Advance { after, events, settled } => {
                let payload = Payload::UpstreamAdvance {
                    after,
                    events: events.to_vec(),
                    settled: Some(settled),
                    pushed_through: GlobalSeq::ROOT,
                };
                (payload, None, events)
            }
            SessionPayload::Rebase { after, rollback_to, events, settled } => {
                let payload =
                    Payload::UpstreamRebase { after, rollback_to, events: events.to_vec(), settled };
                (payload, Some(rollback_to), events)
            }
            SessionPayload::Accepted { attempt, after, last, settled } => {
                return self.push_accepted(attempt, after, last, settled);
            }
            SessionPayload::Refused { .. } => return,
        };
        let settled_before = self.state.known.len();
        match merge(&mut self.state, payload) {
            Ok(Outcome::Advance(change) | Outcome::Rebase(change)) => {
                self.note_followed();
                self.unforgotten += settled_before.saturating_sub(self.state.known.len());
                let persisted = self.receipts.follow(&self.session_id, rollback_to, &events);
                self.tell(persisted);
                self.apply(change);
                self.tell_settled();
            }
            Ok(Outcome::Reject(Refusal::Stale { .. })) => self.refresh(),
            Ok(Outcome::Reject(refusal)) => {
                unreachable!("upstream's payloads are never refused with {refusal:?}")
            }
            Err(error) => self.restart(&error),
        }
    }

    /// The second item shows that the state could follow the first: then the link is sound, and the next failure a new one.
    pub(super) fn note_followed(&mut self) {
        if self.follows {
            self.backoff.reset();
        }
        self.follows = true;
    }

    /// Asks for the stream from the version that the session is at; items under way are void.
    pub(super) fn refresh(&mut self) {
        self.stream += 1;
        self.in_flight = None;
        self.refused_until = None;
        let refresh = SessionMessage::Refresh { cursor: self.state.upstream_head, stream: self.stream };
        self.effects.push_back(SessionEffect::Send(refresh));
    }

    /// What the leader sends cannot be merged, because undo data does not reach so far: start anew from its state.
    pub(super) fn restart(&mut self, error: &MergeError) {
        tracing::info!(%error, session = %self.session_id, "starting again from the leader's state");
        self.begin_restart();
    }

    /// The state cannot follow what was decided: start anew from the leader's.
    pub fn state_failed(&mut self, now: Instant) {
        self.now = now;
        self.begin_restart();
    }

    /// After a wait, so that a leader whose items can never be merged is not asked for its state without end.
    pub(super) fn begin_restart(&mut self) {
        self.in_flight = None;
        self.needs_restart = true;
        self.effects.retain(|effect| !matches!(effect, SessionEffect::Apply { .. }));
        self.link = LinkState::Detached { until: self.backoff.failed(self.now, &mut self.jitter) };
    }

    /// Commits that the leader took out of its log leave pending too, before anything else is merged.
    pub(super) fn take_gone(&mut self, gone: Vec<GoneCommit>) {
        let mut commits = Vec::new();
        for GoneCommit { n, reason } in gone {
            if let Some(update) = self.receipts.gone(n, reason) {
                commits.push(n);
                self.tell([update]);
            }
        }
        if !commits.is_empty() {
            self.amend(Amendment::Drop { session_id: self.session_id.clone(), commits });
        }
    }

    /// Pending events follow the client's id. Tells whether it is another one than before.
    pub(super) fn take_client_id(&mut self, client_id: ClientId) -> bool {
        let changed = self.client_id.as_ref().is_some_and(|known| *known != client_id);
        if changed {
            self.amend(Amendment::ReplaceClientId(client_id.clone()));
        }
        self.client_id = Some(client_id);
        changed
    }

    pub(super) fn amend(&mut self, amendment: Amendment) {
        match merge(&mut self.state, Payload::Amend(amendment)) {
            Ok(Outcome::Advance(change) | Outcome::Rebase(change)) => self.apply(change),
            other => panic!("an amendment was refused: {other:?}"),
        }
    }

    /// Has the state follow a change.
    pub(super) fn apply(&mut self, change: Change) {
        if change.rollback_to.is_some() {
            self.rebases += 1;
        }
        let changes = change.rollback_to.is_some() || !change.append.is_empty();
        if !changes && self.unforgotten < FORGET_AFTER {
            return;
        }
        self.unforgotten = 0;
        let base = self.state_head;
        self.state_head = change.append.last().map_or(change.rollback_to.unwrap_or(base), |event| event.num);
        self.effects.push_back(SessionEffect::Apply {
            base,
            rollback_to: change.rollback_to,
            events: change.append,
            settled: self.state.settled_head.position(),
        });
    }

    pub(super) fn tell(&mut self, updates: impl IntoIterator<Item = ReceiptUpdate>) {
        self.effects.extend(updates.into_iter().map(SessionEffect::Receipt));
    }

    pub(super) fn tell_settled(&mut self) {
        let updates = self.receipts.settle(self.state.settled_head);
        self.tell(updates);
    }

    pub(super) fn first_pending_n(&self) -> Option<u64> {
        self.state.pending.front().and_then(|event| event.commit).map(|commit| commit.n)
    }
}
