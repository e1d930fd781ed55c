//! The leader's push: one attempt at a time, cut at unit ends, and what each answer means.
//!
//! An answer speaks of the events of its attempt, by commit identity, never by number: a page may have renumbered them
//! meanwhile. An answer to any other attempt than the one in flight is ignored.

use std::time::Instant;

use livestore_traits::{
    Event, GlobalSeq, GoneCommit, GoneReason, Identity, Limits, PullPage, Push, PushAck, PushError, Recovery,
    Rejection, SyncedEvent,
};

use super::LeaderProcessor;
use super::gather::check_page;
use super::pull::Phase;
use super::status::with_sources;
use crate::processor::backoff::Backoff;
use crate::processor::config::LeaderConfig;
use crate::processor::effect::Effect;
use crate::processor::input::AttemptId;
use crate::sync::{Amendment, Payload};

/// Then a full batch has become one of a few events; more would only take longer to get over.
const MOST_HALVINGS: u32 = 7;

#[derive(Clone, Debug)]
pub(super) struct Pusher {
    in_flight: Option<Attempt>,
    attempts: u64,
    backoff: Backoff,
    not_before: Option<Instant>,
    /// How often batches are halved: once more for each push that was not answered, once less for each that was
    /// acknowledged. What is too much for a slow link within the time given would be too much again.
    halvings: u32,
    /// Up to here, pending events were pushed under the numbers they have.
    pushed_through: GlobalSeq,
    /// A new client id was asked for and has not come yet.
    awaits_identity: bool,
}

/// A push that is not answered.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    id: AttemptId,
    parent: GlobalSeq,
    events: Vec<SyncedEvent>,
    deadline: Instant,
}

impl Attempt {
    pub(super) fn is_one_unit(&self) -> bool {
        self.events.iter().filter(|event| event.unit_end).count() <= 1
    }

    /// How `ours` are lowered after the answer that this was too large and that `limits` hold.
    pub(super) fn lowered(&self, ours: Limits, limits: Limits) -> Limits {
        let mut lowered = ours.min(limits);
        if lowered == ours {
            // The backend counts otherwise than we do: half of the batch may pass.
            lowered.max_batch_events = lowered.max_batch_events.min((self.events.len() / 2).max(1));
        }
        lowered
    }
}

impl Pusher {
    pub(super) const fn new(config: &LeaderConfig, pushed_through: GlobalSeq) -> Self {
        Self {
            in_flight: None,
            attempts: 0,
            backoff: Backoff::new(config.backoff_min, config.backoff_max),
            not_before: None,
            halvings: 0,
            pushed_through,
            awaits_identity: false,
        }
    }

    /// Pending events after `to` have other numbers now than those they were pushed under.
    pub(super) fn forget_pushed_after(&mut self, to: GlobalSeq) {
        self.pushed_through = self.pushed_through.min(to);
    }

    pub(super) const fn pushed_through(&self) -> GlobalSeq {
        self.pushed_through
    }

    /// The attempt in flight, if any, no longer matters.
    pub(super) fn abandon(&mut self) {
        self.in_flight = None;
    }

    pub(super) fn try_now(&mut self) {
        self.not_before = None;
    }

    /// A push was not answered.
    fn halve(&mut self) {
        self.halvings = (self.halvings + 1).min(MOST_HALVINGS);
    }

    /// The beginning of a batch that a link may carry which did not carry the last ones: whole units, one at least.
    pub(super) fn halved(&self, mut events: Vec<SyncedEvent>) -> Vec<SyncedEvent> {
        if self.halvings == 0 {
            return events;
        }
        let bytes: usize = events.iter().map(SyncedEvent::encoded_len).sum();
        let most = bytes >> self.halvings;
        let (mut sum, mut end) = (0, 0);
        for (index, event) in events.iter().enumerate() {
            sum += event.encoded_len();
            if event.unit_end && (end == 0 || sum <= most) {
                end = index + 1;
            }
        }
        events.truncate(end);
        events
    }
}

impl LeaderProcessor {
    /// Pushes what is pending if that makes sense now: the head is known, and nothing is in flight.
    pub(super) fn start_push(&mut self) {
        let pusher = &self.pusher;
        let is_due = self.puller.is_caught_up()
            && !self.puller.is_off()
            && self.history.is_none()
            && pusher.in_flight.is_none()
            && !pusher.awaits_identity
            && pusher.not_before.is_none_or(|at| at <= self.now);
        if !is_due || self.state.pending.is_empty() {
            return;
        }
        match cut_batch(&self.state.pending, &self.limits) {
            Batch::Events(events) => {
                let events = self.pusher.halved(events);
                let last = events.last().map_or(GlobalSeq::ROOT, |event| event.seq);
                self.pusher.pushed_through = self.pusher.pushed_through.max(last);
                let parent = self.state.upstream_head.global;
                self.push_events(parent, events, true);
            }
            Batch::UnitTooLarge(first) => {
                let message = "its unit is larger than the backend takes".to_owned();
                self.drop_commit(&first, GoneReason::Rejected(message));
            }
        }
    }

    /// Pushes `events` after `parent`; with a proof, if they are this client's own.
    pub(super) fn push_events(&mut self, parent: GlobalSeq, events: Vec<SyncedEvent>, own: bool) {
        self.pusher.attempts += 1;
        let id = AttemptId { term: self.term, count: self.pusher.attempts };
        let deadline = self.now + self.config.push_timeout;
        let proof = own.then_some(self.identity.secret);
        let backend_id = match &self.history {
            Some(history) => history.backend_id(),
            None => self.mark.backend_id.clone(),
        };
        let push = Push::new(backend_id, parent, proof, events.clone());
        self.pusher.in_flight = Some(Attempt { id, parent, events, deadline });
        self.effects.push_back(Effect::Push(id, push));
    }

    pub(super) fn push_answered(&mut self, id: AttemptId, answer: Result<PushAck, PushError>) {
        if self.pusher.in_flight.as_ref().is_none_or(|attempt| attempt.id != id) {
            return;
        }
        let Some(attempt) = self.pusher.in_flight.take() else { return };
        match &answer {
            Ok(_) => self.pusher.halvings = self.pusher.halvings.saturating_sub(1),
            Err(PushError::Unacknowledged(_)) => self.pusher.halve(),
            Err(_) => {}
        }
        let answer = answer.map_err(|error| {
            tracing::debug!(%error, "the push was not acknowledged");
            self.last_error = Some(with_sources(&error));
            error
        });
        if self.history.is_some() {
            return self.reseed_answered(&attempt, answer);
        }
        match answer {
            Ok(ack) => self.acknowledged(attempt, ack),
            Err(error) => self.push_failed(&attempt, error),
        }
    }

    /// The events of the attempt stand in the backend, where they were proposed.
    fn acknowledged(&mut self, attempt: Attempt, ack: PushAck) {
        self.pusher.backoff.reset();
        self.pusher.not_before = None;
        self.last_error = None;
        if self.mark.backend_id.as_ref().is_some_and(|known| *known != ack.backend_id) {
            return self.diverged(format!("a push was acknowledged by {}", ack.backend_id));
        }
        // What pages brought meanwhile comes first, so that only the rest is new.
        self.merge_now();
        let head = self.state.upstream_head.global;
        let events: Vec<SyncedEvent> = attempt.events.into_iter().filter(|event| event.seq > head).collect();
        if events.is_empty() {
            return;
        }
        if events[0].parent != head {
            // Pages that are not merged yet stand before them.
            return self.pull_again();
        }
        if ack.cursor.after > self.mark.cursor.after {
            self.mark.cursor = ack.cursor;
        }
        self.mark.backend_id = Some(ack.backend_id);
        // What was pushed is what stands first in pending, so this only confirms.
        if let Err(error) = self.advance(events) {
            self.broken_upstream(&error.to_string());
        }
    }

    fn push_failed(&mut self, attempt: &Attempt, error: PushError) {
        match error {
            PushError::UpstreamAhead { head, .. } if head < attempt.parent => {
                self.diverged(format!("its head is {head}, before {}", attempt.parent));
            }
            PushError::UpstreamAhead { head, missing } => self.upstream_ahead(attempt, head, missing),
            PushError::Rejected(rejection) => self.rejected(attempt, rejection),
            PushError::TooLarge { limits } => self.cut_smaller(attempt, limits),
            error => match error.recovery() {
                Recovery::Diverged => self.diverged(error.to_string()),
                Recovery::NewClientId => {
                    // A backend that refuses every id must not be asked as fast as ids can be made.
                    self.retry_push_later();
                    self.pusher.awaits_identity = true;
                    self.effects.push_back(Effect::NewIdentity);
                }
                Recovery::Fatal => self.turn_off(error.to_string()),
                Recovery::PullThenRetry => {
                    self.retry_push_later();
                    self.pull_again();
                }
                Recovery::Rebase | Recovery::Backoff | Recovery::Drop | Recovery::Unauthorized => {
                    self.retry_push_later();
                }
            },
        }
    }

    /// Others were first. Their events come with the answer, or on the pull; if they don't, pull again.
    fn upstream_ahead(&mut self, attempt: &Attempt, head: GlobalSeq, missing: Option<Box<PullPage>>) {
        if head == attempt.parent {
            // It is where we pushed to, and should have taken the push.
            self.retry_push_later();
            return self.pull_again();
        }
        if let Some(page) = missing.filter(|page| check_page(page).is_ok()) {
            self.gather(*page);
        }
        if self.puller.is_off() || self.history.is_some() {
            // The events that came with the answer were of another history.
        } else if head <= self.puller.reached(&self.mark) {
            // The pull was faster than the answer. One that left out what it should have brought must not make us push
            // as fast as we are refused.
            if self.state.upstream_head.global == attempt.parent && self.puller.gathered.mark.is_none() {
                self.retry_push_later();
            }
        } else if matches!(self.puller.phase, Phase::Waiting { .. }) {
            self.pull_again();
        } else {
            self.puller.caught_up = false;
            self.puller.expect_by.get_or_insert(self.now + self.config.ahead_timeout);
        }
    }

    /// The backend takes less in one push than we thought.
    fn cut_smaller(&mut self, attempt: &Attempt, limits: Limits) {
        let before = self.limits;
        self.limits = attempt.lowered(before, limits);
        if before.min(limits) == before {
            // What cannot be halved is only tried again.
            if let Batch::UnitTooLarge(_) = cut_batch(&self.state.pending, &self.limits) {
                self.limits = before;
            }
            self.retry_push_later();
        }
    }

    /// One event is refused for good: its unit goes, wherever it is numbered by now.
    fn rejected(&mut self, attempt: &Attempt, rejection: Rejection) {
        match attempt.events.get(rejection.index) {
            Some(event) => {
                let reason = GoneReason::Rejected(format!("{}: {}", rejection.code, rejection.message));
                self.drop_commit(&event.clone(), reason);
            }
            None => {
                self.turn_off(format!("event {} of a push was rejected, but it has none", rejection.index))
            }
        }
    }

    fn drop_commit(&mut self, event: &SyncedEvent, reason: GoneReason) {
        let Some(commit) = event.commit else { return };
        self.end_turn();
        let drop = Amendment::Drop { session_id: event.session_id.clone(), commits: vec![commit.n] };
        let change = self.merge_own(Payload::Amend(drop));
        // Confirmed meanwhile: then there is nothing to drop.
        if change.rollback_to.is_some() {
            self.add_to_turn(change);
            self.note_gone(&event.session_id, GoneCommit { n: commit.n, reason });
        }
    }

    fn retry_push_later(&mut self) {
        self.pusher.not_before = Some(self.pusher.backoff.failed(self.now, &mut self.jitter));
    }

    /// Another client owns the old id: everything unconfirmed is ours under the new one.
    pub(super) fn new_identity(&mut self, identity: Identity) {
        self.pusher.awaits_identity = false;
        self.end_turn();
        let change = self.merge_own(Payload::Amend(Amendment::ReplaceClientId(identity.client_id.clone())));
        self.identity = identity.clone();
        self.add_to_turn(change);
        self.turn.set_identity(identity);
    }

    /// A push without an answer may have been stored: pull, then see.
    pub(super) fn push_timeout(&mut self) {
        if self.pusher.in_flight.as_ref().is_some_and(|attempt| attempt.deadline <= self.now) {
            tracing::debug!("a push was not answered in time; pulling before it is tried again");
            self.pusher.in_flight = None;
            self.pusher.halve();
            self.retry_push_later();
            self.pull_again();
        }
    }

    pub(super) fn push_deadline(&self) -> Option<Instant> {
        let retry = self.pusher.not_before.filter(|at| *at > self.now && !self.state.pending.is_empty());
        self.pusher.in_flight.as_ref().map(|attempt| attempt.deadline).or(retry)
    }
}

/// What the front of pending makes.
pub(super) enum Batch {
    Events(Vec<SyncedEvent>),
    /// The first unit alone breaks the limits; this is its first event.
    UnitTooLarge(SyncedEvent),
}

/// Cuts whole units off the front of pending, as many as fit.
pub(super) fn cut_batch<'a>(pending: impl IntoIterator<Item = &'a Event>, limits: &Limits) -> Batch {
    let mut events: Vec<SyncedEvent> = Vec::new();
    let (mut bytes, mut whole_units, mut first) = (0, 0, None);
    for event in pending {
        if event.num.is_synced() {
            first.get_or_insert(event);
            bytes += event.encoded_len();
            if events.len() == limits.max_batch_events || bytes > limits.max_batch_bytes {
                break;
            }
            events.push(outgoing(event));
        }
        if event.unit_end {
            whole_units = events.len();
        }
    }
    match first {
        Some(first) if whole_units == 0 => return Batch::UnitTooLarge(outgoing(first)),
        _ => events.truncate(whole_units),
    }
    mark_unit_ends(&mut events);
    Batch::Events(events)
}

/// The events of the first unit, however large it is; none if it goes on after `events`. If those are `all` there are, they
/// may end inside a unit whose rest never came: then that part is one.
pub(super) fn first_unit<'a>(events: impl Iterator<Item = &'a Event>, all: bool) -> Vec<SyncedEvent> {
    let mut unit = Vec::new();
    for event in events {
        if event.num.is_synced() {
            unit.push(outgoing(event));
        }
        if event.unit_end && !unit.is_empty() {
            mark_unit_ends(&mut unit);
            return unit;
        }
    }
    if !all {
        return Vec::new();
    }
    mark_unit_ends(&mut unit);
    unit
}

/// A unit that ends with client-only events ends, for the backend, with its last synced one.
fn mark_unit_ends(events: &mut [SyncedEvent]) {
    let unit = |event: &SyncedEvent| (event.session_id.clone(), event.commit.map(|commit| commit.n));
    for index in 0..events.len() {
        let ends = match events.get(index + 1) {
            Some(next) => events[index].commit.is_none() || unit(next) != unit(&events[index]),
            None => true,
        };
        events[index].unit_end |= ends;
    }
}

/// A log's event as the backend takes it.
fn outgoing(event: &Event) -> SyncedEvent {
    SyncedEvent {
        seq: event.num.global,
        parent: event.parent().global,
        name: event.name.clone(),
        args: event.args.clone(),
        client_id: event.client_id.clone(),
        session_id: event.session_id.clone(),
        commit: event.commit,
        unit_end: event.unit_end,
        created_at: None,
    }
}
