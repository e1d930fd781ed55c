//! The session's processor: what one window, tab or process does with its commits and its leader.
//!
//! ```text
//!   commit ─▶ prepare ─▶ (apply to the state) ─▶ complete ─▶ pending ─▶ Push ─▶ Accepted ─▶ … settled
//!                 └─ refused, no trace ◀─ fails                  ▲
//!   items of the leader ─▶ merge ─▶ Apply                        └ renumbered by every rebase
//! ```
//!
//! A session that loses its leader goes on committing; it attaches to the next one and pushes what is pending.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use livestore_traits::{
    ArgsError, Attach, Attached, ClientId, CommitRef, Event, EventKind, GoneCommit, GoneReason, LeaderItem,
    MaterializeError, NewEvent, Position, SeqNum, SessionId, SessionMessage, SessionPayload, SessionPush,
};

use super::backoff::{Backoff, Jitter};
use super::config::SessionConfig;
use crate::sync::{Amendment, Change, MergeError, Outcome, Payload, Refusal, SyncState, merge};

/// After so many events were settled, undo data is forgotten even if nothing else is applied.
const FORGET_AFTER: usize = 1000;

/// How long items that a refused push is waiting for may take: then the session asks for them.
const REFUSED_PATIENCE: std::time::Duration = std::time::Duration::from_millis(200);

/// Decides what a session does.
#[derive(Debug)]
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
    /// The last commit that is known to be, or to have been, in the leader's log.
    persisted: u64,
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
    /// Own commits that are not settled.
    commits: BTreeMap<u64, OwnCommit>,
    effects: VecDeque<SessionEffect>,
    rebases: u64,
}

/// Whether the session has a leader.
#[derive(Debug, PartialEq, Eq)]
enum LinkState {
    /// It attaches then.
    Detached {
        until: Instant,
    },
    /// An attach, or a new start from a snapshot, is under way.
    Attaching,
    Attached,
}

/// A push to the leader that is not answered.
#[derive(Debug)]
struct InFlight {
    attempt: u64,
    base: SeqNum,
    deadline: Instant,
}

/// Where a commit of this session has got to.
#[derive(Debug, Default)]
struct OwnCommit {
    /// The number of its last event in the leader's log, while it is known.
    placed: Option<SeqNum>,
}

/// Something to be done, in order.
#[derive(Debug)]
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

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptUpdate {
    /// This commit and all before it are durable in the leader's log.
    Persisted {
        /// The commit.
        n: u64,
    },
    /// This commit can no longer roll back.
    Confirmed {
        /// The commit.
        n: u64,
        /// The number of its last event; the last event settled with it, if the session restarted meanwhile.
        num: SeqNum,
    },
    /// This commit is not in the log any more.
    Gone {
        /// The commit.
        n: u64,
        /// Why.
        reason: GoneReason,
    },
}

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
        /// Their bytes.
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
            persisted: 0,
            state: SyncState::session(head),
            state_head: head,
            unforgotten: 0,
            link: LinkState::Detached { until: now },
            stream: 0,
            in_flight: None,
            attempts: 0,
            refused_until: None,
            commits: BTreeMap::new(),
            effects: VecDeque::new(),
            rebases: 0,
            config,
        }
    }

    /// Numbers a commit. Apply it to the state, then call [`Self::complete`]; if applying fails, drop it.
    ///
    /// # Errors
    /// [`CommitError`] if the commit cannot be taken whatever the state says.
    pub fn prepare(&self, events: Vec<NewEvent>) -> Result<SessionTransaction, CommitError> {
        let client_id = self.client_id.as_ref().ok_or(CommitError::NotAttached)?;
        if self.state.pending.len() + self.state.known.len() + events.len() > self.config.max_pending_events {
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
        let synced = unit.iter().filter(|event| event.num.is_synced());
        let (count, bytes) =
            synced.fold((0, 0), |(count, bytes), event| (count + 1, bytes + event.encoded_len()));
        let largest = unit.iter().map(Event::encoded_len).max().ok_or(CommitError::Empty)?;
        if count > limits.max_batch_events
            || bytes > limits.max_batch_bytes
            || largest > limits.max_event_bytes
        {
            return Err(CommitError::TooLarge {
                events: count,
                bytes: bytes.max(largest),
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
        self.commits.insert(self.n, OwnCommit::default());
        self.state_head = self.state.local_head;
        CommitOutcome { n: self.n, num: self.state.local_head }
    }

    /// The attach that was asked for succeeded. Poll effects afterwards.
    pub fn attached(&mut self, now: Instant, attached: Attached) {
        self.now = now;
        self.backoff.reset();
        self.link = LinkState::Attached;
        self.stream = 0;
        self.in_flight = None;
        self.refused_until = None;
        self.n = self.n.max(attached.persisted);
        self.take_gone(attached.gone);
        self.take_client_id(attached.client_id);
        self.note_persisted(attached.persisted);
    }

    /// The link ended, or the attach or restart that was asked for failed. Poll effects afterwards.
    pub fn link_lost(&mut self, now: Instant) {
        self.now = now;
        self.in_flight = None;
        self.link = LinkState::Detached { until: self.backoff.failed(now, &mut self.jitter) };
    }

    /// The state was replaced by a snapshot of the leader with this head, that holds the session's commits up to
    /// `persisted`. Poll effects afterwards.
    pub fn restarted(&mut self, now: Instant, head: SeqNum, persisted: u64) {
        self.now = now;
        let is_kept = |event: &Event| event.commit.is_some_and(|commit| commit.n > persisted);
        let keep: Vec<Event> = self.state.pending.iter().filter(|event| is_kept(event)).cloned().collect();
        for (_, commit) in self.commits.range_mut(..=persisted) {
            commit.placed = Some(head);
        }
        let change = match merge(&mut self.state, Payload::Reset { base: head, keep }) {
            Ok(Outcome::Rebase(change)) => change,
            other => panic!("a reset was refused: {other:?}"),
        };
        self.state_head = head;
        self.rebases += 1;
        if !change.append.is_empty() {
            self.apply(Change { rollback_to: None, ..change });
        }
        self.note_persisted(persisted);
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

    fn merge_item(&mut self, payload: SessionPayload) {
        self.refused_until = None;
        let (payload, rollback_to, events) = match payload {
            SessionPayload::Advance { after, events, settled } => {
                let payload = Payload::UpstreamAdvance {
                    after,
                    events: events.to_vec(),
                    settled: Some(settled),
                    pushed_through: livestore_traits::GlobalSeq::ROOT,
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
                self.unforgotten += settled_before.saturating_sub(self.state.known.len());
                self.follow(rollback_to, &events);
                self.apply(change);
                self.note_settled();
            }
            Ok(Outcome::Reject(Refusal::Stale { .. })) => self.refresh(),
            Ok(Outcome::Reject(refusal)) => {
                unreachable!("upstream's payloads are never refused with {refusal:?}")
            }
            Err(error) => self.restart(&error),
        }
    }

    fn push_accepted(&mut self, attempt: u64, after: SeqNum, last: SeqNum, settled: SeqNum) {
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
                self.unforgotten += change.confirmed;
                self.follow(None, &accepted);
                self.note_settled();
            }
            Ok(Outcome::Reject(_)) => self.refresh(),
            Err(error) => self.restart(&error),
        }
    }

    /// The push did not build on the leader's head: what it lacks has come or is coming.
    fn push_refused(&mut self, attempt: u64, knows_better: bool) {
        let Some(push) = self.in_flight.take_if(|push| push.attempt == attempt) else { return };
        if push.base == self.state.upstream_head && !knows_better {
            self.refused_until = Some(self.now + REFUSED_PATIENCE);
        }
    }

    /// Asks for the stream from the version that the session is at; items under way are void.
    fn refresh(&mut self) {
        self.stream += 1;
        self.in_flight = None;
        self.refused_until = None;
        let refresh = SessionMessage::Refresh { cursor: self.state.upstream_head, stream: self.stream };
        self.effects.push_back(SessionEffect::Send(refresh));
    }

    /// What the leader sends cannot be merged, because undo data does not reach so far: start anew from its state.
    fn restart(&mut self, error: &MergeError) {
        tracing::info!(%error, session = %self.session_id, "starting again from the leader's state");
        self.begin_restart();
    }

    /// The state cannot follow what was decided: start anew from the leader's.
    pub fn state_failed(&mut self, now: Instant) {
        self.now = now;
        self.begin_restart();
    }

    fn begin_restart(&mut self) {
        self.in_flight = None;
        self.link = LinkState::Attaching;
        self.effects.push_back(SessionEffect::Restart);
    }

    /// Commits that the leader took out of its log leave pending too, before anything else is merged.
    fn take_gone(&mut self, gone: Vec<GoneCommit>) {
        let commits: Vec<u64> = gone.iter().map(|gone| gone.n).collect();
        for GoneCommit { n, reason } in gone {
            if self.commits.remove(&n).is_some() {
                self.effects.push_back(SessionEffect::Receipt(ReceiptUpdate::Gone { n, reason }));
            }
        }
        if !commits.is_empty() {
            self.amend(Amendment::Drop { session_id: self.session_id.clone(), commits });
        }
    }

    /// Pending events follow the client's id. Tells whether it is another one than before.
    fn take_client_id(&mut self, client_id: ClientId) -> bool {
        let changed = self.client_id.as_ref().is_some_and(|known| *known != client_id);
        if changed {
            self.amend(Amendment::ReplaceClientId(client_id.clone()));
        }
        self.client_id = Some(client_id);
        changed
    }

    fn amend(&mut self, amendment: Amendment) {
        match merge(&mut self.state, Payload::Amend(amendment)) {
            Ok(Outcome::Advance(change) | Outcome::Rebase(change)) => self.apply(change),
            other => panic!("an amendment was refused: {other:?}"),
        }
    }

    /// Has the state follow a change.
    fn apply(&mut self, change: Change) {
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

    /// Follows own commits through the leader's log.
    fn follow(&mut self, rollback_to: Option<SeqNum>, events: &[Event]) {
        if let Some(to) = rollback_to {
            for commit in self.commits.values_mut() {
                commit.placed = commit.placed.filter(|num| num.position() <= to.position());
            }
        }
        let mut persisted = None;
        for event in events.iter().filter(|event| event.unit_end && event.session_id == self.session_id) {
            if let Some((_, commit)) = event.identity()
                && let Some(own) = self.commits.get_mut(&commit.n)
            {
                own.placed = Some(event.num);
                persisted = Some(commit.n);
            }
        }
        if let Some(n) = persisted {
            self.note_persisted(n);
        }
    }

    fn note_persisted(&mut self, through: u64) {
        if through > self.persisted {
            self.persisted = through;
            self.effects.push_back(SessionEffect::Receipt(ReceiptUpdate::Persisted { n: through }));
        }
    }

    /// Commits settle in order.
    fn note_settled(&mut self) {
        while let Some(entry) = self.commits.first_entry() {
            let Some(num) =
                entry.get().placed.filter(|num| num.position() <= self.state.settled_head.position())
            else {
                break;
            };
            let (n, _) = entry.remove_entry();
            self.effects.push_back(SessionEffect::Receipt(ReceiptUpdate::Confirmed { n, num }));
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
            LinkState::Detached { until } if until <= self.now => {
                self.link = LinkState::Attaching;
                Some(SessionEffect::Attach(Attach {
                    session_id: self.session_id.clone(),
                    cursor: self.state.upstream_head,
                    last_n: self.n,
                }))
            }
            LinkState::Attached => self.start_push(),
            LinkState::Detached { .. } | LinkState::Attaching => None,
        }
    }

    /// Pushes the first pending units if nothing is in the way.
    fn start_push(&mut self) -> Option<SessionEffect> {
        if self.in_flight.is_some() || self.refused_until.is_some() || self.state.pending.is_empty() {
            return None;
        }
        let limit = self.config.max_push_events;
        let whole_units =
            |count: usize| self.state.pending.iter().take(count).rposition(|event| event.unit_end);
        let last =
            whole_units(limit).or_else(|| self.state.pending.iter().position(|event| event.unit_end))?;
        let events: Vec<Event> = self.state.pending.iter().take(last + 1).cloned().collect();
        self.attempts += 1;
        let (attempt, base) = (self.attempts, self.state.upstream_head);
        self.in_flight = Some(InFlight { attempt, base, deadline: self.now + self.config.push_timeout });
        Some(SessionEffect::Send(SessionMessage::Push(SessionPush { attempt, base, events })))
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
            unconfirmed_commits: self.commits.len(),
            rebases: self.rebases,
            ended: false,
        }
    }
}
