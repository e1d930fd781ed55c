//! The session's processor: what one window, tab or process does with its commits and its leader.
//!
//! ```text
//!   commit ─▶ pending ─▶ Push ─▶ Accepted ─▶ … settled
//!                ▲ renumbered by every rebase
//!   items of the leader ─▶ merge ─▶ Apply
//!
//!   Detached ─▶ Attaching ─▶ Attached ─▶ Detached …        what cannot be merged: start anew from a snapshot first
//! ```
//!
//! A session that loses its leader goes on committing; it attaches to the next one and pushes what is pending.

mod commit;
mod follow;
mod push;
mod receipts;

use std::collections::VecDeque;
use std::time::Instant;

use livestore_traits::{
    Attach, Attached, ClientId, Event, Held, LeaderItem, Position, SeqNum, SessionId, SessionMessage,
    SessionPayload,
};

use self::push::InFlight;
use self::receipts::Receipts;
use super::backoff::{Backoff, Jitter};
use super::config::SessionConfig;
use crate::sync::{Change, Outcome, Payload, SyncState, merge};

pub use self::commit::{CommitError, CommitOutcome, SessionTransaction};
pub use self::receipts::ReceiptUpdate;

/// After so many events were settled, undo data is forgotten even if nothing else is applied.
const FORGET_AFTER: usize = 1000;

/// Decides what a session does.
#[derive(Clone, Debug)]
pub struct SessionProcessor {
    config: SessionConfig,
    now: Instant,
    jitter: Jitter,
    backoff: Backoff,
    session_id: SessionId,
    /// Known once attached for the first time.
    client_id: Option<ClientId>,
    /// The last commit.
    n: u64,
    state: SyncState,
    /// The head of the materialized state.
    state_head: SeqNum,
    /// Events settled since undo data was last forgotten.
    unforgotten: usize,
    link: LinkState,
    /// Which stream of the attachment counts.
    stream: u64,
    in_flight: Option<InFlight>,
    attempts: u64,
    /// A push was refused; what it lacks must have come by then.
    refused_until: Option<Instant>,
    /// An item of this attachment was merged.
    follows: bool,
    /// The state must be replaced by the leader's before attaching again.
    needs_restart: bool,
    receipts: Receipts,
    effects: VecDeque<SessionEffect>,
    rebases: u64,
}

/// Whether the session has a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LinkState {
    /// It attaches, or starts anew from a snapshot, then.
    Detached {
        until: Instant,
    },
    /// One of these is under way.
    Attaching,
    Attached,
}

/// Something to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEffect {
    /// Apply to the session's state; failing events are quarantined.
    Apply {
        /// The version that the state is at.
        base: SeqNum,
        /// Undo back to here first.
        rollback_to: Option<SeqNum>,
        /// Then apply these.
        events: Vec<Event>,
        /// Forget undo data up to here.
        settled: Position,
    },
    /// Attach to the leader; call [`SessionProcessor::attached`] or [`SessionProcessor::link_lost`].
    Attach(Attach),
    /// Send to the leader.
    Send(SessionMessage),
    /// Give up the attachment and start from a snapshot of the leader; call [`SessionProcessor::restarted`] or
    /// [`SessionProcessor::link_lost`].
    Restart,
    /// Tell whoever waits for it.
    Receipt(ReceiptUpdate),
}

/// A session's status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStatus {
    /// The session.
    pub session_id: SessionId,
    /// Whether it has a leader at the moment.
    pub attached: bool,
    /// The last event, own pending ones included.
    pub local_head: SeqNum,
    /// The last event of the leader's log that has arrived.
    pub upstream_head: SeqNum,
    /// The last event that can no longer roll back.
    pub settled_head: SeqNum,
    /// Own events that are not in the leader's log.
    pub pending_events: usize,
    /// Own commits that are not settled.
    pub unconfirmed_commits: usize,
    /// How often events were rolled back in this session.
    pub rebases: u64,
    /// Whether the session has ended: nothing of this changes any more.
    pub ended: bool,
}

impl SessionProcessor {
    /// A session whose state was restored from a snapshot of the leader with this head.
    #[must_use]
    pub fn new(config: SessionConfig, session_id: SessionId, now: Instant, head: SeqNum) -> Self {
        Self {
            now,
            jitter: Jitter::new(config.seed),
            backoff: Backoff::new(config.backoff_min, config.backoff_max),
            session_id,
            client_id: None,
            n: 0,
            state: SyncState::session(head),
            state_head: head,
            unforgotten: 0,
            link: LinkState::Detached { until: now },
            stream: 0,
            in_flight: None,
            attempts: 0,
            refused_until: None,
            follows: false,
            needs_restart: false,
            receipts: Receipts::default(),
            effects: VecDeque::new(),
            rebases: 0,
            config,
        }
    }

    /// The attach that was asked for succeeded. Poll effects afterwards.
    pub fn attached(&mut self, now: Instant, attached: Attached) {
        self.now = now;
        self.link = LinkState::Attached;
        self.follows = false;
        self.stream = 0;
        self.in_flight = None;
        self.refused_until = None;
        self.n = self.n.max(attached.persisted);
        self.take_gone(attached.gone);
        self.take_client_id(attached.client_id);
        let first_pending = self.first_pending_n().unwrap_or(self.n + 1);
        let lost = self.receipts.lose(attached.persisted, first_pending);
        self.tell(lost);
        let persisted = self.receipts.persist(attached.persisted);
        self.tell(persisted);
    }

    /// The link ended, or the attach or restart that was asked for failed. Poll effects afterwards.
    pub fn link_lost(&mut self, now: Instant) {
        self.now = now;
        self.in_flight = None;
        self.link = LinkState::Detached { until: self.backoff.failed(now, &mut self.jitter) };
    }

    /// The state was replaced by a snapshot of the leader with this head, that holds so much of the session. Poll effects
    /// afterwards.
    pub fn restarted(&mut self, now: Instant, head: SeqNum, held: &Held) {
        self.now = now;
        let persisted = held.persisted;
        let is_kept = |event: &Event| event.commit.is_some_and(|commit| commit.n > persisted);
        let keep: Vec<Event> = self.state.pending.iter().filter(|event| is_kept(event)).cloned().collect();
        self.receipts.contained(held);
        let change = match merge(&mut self.state, Payload::Reset { base: head, keep }) {
            Ok(Outcome::Rebase(change)) => change,
            other => panic!("a reset was refused: {other:?}"),
        };
        self.state_head = head;
        self.rebases += 1;
        if !change.append.is_empty() {
            self.apply(Change { rollback_to: None, ..change });
        }
        // Which of these are gone is told on attaching; until then none settles.
        let update = self.receipts.persist(persisted);
        self.tell(update);
        self.needs_restart = false;
        self.link = LinkState::Detached { until: now };
    }

    /// An item of the leader's stream came. Poll effects afterwards.
    pub fn item(&mut self, now: Instant, item: LeaderItem) {
        self.now = now;
        if self.link != LinkState::Attached || item.stream != self.stream {
            return;
        }
        self.effects.push_back(SessionEffect::Send(SessionMessage::Taken));
        self.take_gone(item.gone);
        let knows_better = self.take_client_id(item.client_id);
        match item.payload {
            SessionPayload::Refused { attempt } => self.push_refused(attempt, knows_better),
            payload => self.merge_item(payload),
        }
    }

    /// Takes in that time passed: call it at the time that [`Self::poll_timeout`] names. Poll effects afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.link != LinkState::Attached {
            return;
        }
        if self.in_flight.as_ref().is_some_and(|push| push.deadline <= now) {
            tracing::debug!(session = %self.session_id, "a push was not answered in time; attaching again");
            self.in_flight = None;
            self.link = LinkState::Detached { until: now };
        } else if self.refused_until.is_some_and(|until| until <= now) {
            self.refresh();
        }
    }

    /// When to call [`Self::handle_timeout`]; may change with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.link {
            LinkState::Detached { until } => Some(until),
            LinkState::Attaching => None,
            LinkState::Attached => self.in_flight.as_ref().map(|push| push.deadline).or(self.refused_until),
        }
    }

    /// The next effect, to be performed before the next call. Poll after every other call, until there is none.
    #[must_use]
    pub fn poll_effect(&mut self) -> Option<SessionEffect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        match self.link {
            LinkState::Detached { until } if until <= self.now && self.needs_restart => {
                self.link = LinkState::Attaching;
                Some(SessionEffect::Restart)
            }
            LinkState::Detached { until } if until <= self.now => {
                self.link = LinkState::Attaching;
                Some(SessionEffect::Attach(Attach {
                    session_id: self.session_id.clone(),
                    cursor: self.state.upstream_head,
                    last_n: self.n,
                    label: self.config.label.clone(),
                }))
            }
            LinkState::Attached => self.start_push(),
            LinkState::Detached { .. } | LinkState::Attaching => None,
        }
    }

    /// The status now.
    #[must_use]
    pub fn status(&self) -> SessionStatus {
        SessionStatus {
            session_id: self.session_id.clone(),
            attached: self.link == LinkState::Attached,
            local_head: self.state.local_head,
            upstream_head: self.state.upstream_head,
            settled_head: self.state.settled_head,
            pending_events: self.state.pending.len(),
            unconfirmed_commits: self.receipts.unsettled(),
            rebases: self.rebases,
            ended: false,
        }
    }
}
