//! The leader's processor: what one client does with its sessions below and its backend above.
//!
//! ```text
//!   pushes of sessions ─┐                ┌─▶ CommitLog ─▶ Materialize ─▶ answers and items to sessions
//!   pages of the pull ──┼─▶ merge ─▶ turn┤
//!   answers to pushes ──┘                └─▶ Push, StartPull
//! ```
//!
//! What has come by the time effects are polled is merged into one *turn*, which becomes one commit of the log. Pages
//! never share a turn with pushes of sessions, so that no version is published that was not durable.

mod gather;
mod history;
mod links;
mod pull;
mod push;
mod returning;
mod status;
mod turn;

pub use self::returning::Returning;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use livestore_traits::{
    AttachedSession, Event, Heads, Identity, Limits, Position, SeqNum, Term, UpstreamMark,
};

use self::history::History;
use self::links::Link;
use self::pull::Puller;
use self::push::Pusher;
use self::turn::Turn;
use super::backoff::Jitter;
use super::config::LeaderConfig;
use super::effect::{Effect, ReadPurpose, StopReason};
use super::input::{Input, LinkId};
use super::tail::Tail;
use crate::sync::{Change, Outcome, Payload, SyncState, merge};

/// After so many events were settled, undo data is forgotten even if nothing else is applied.
const FORGET_AFTER: usize = 1000;

/// Decides what a leader does.
#[derive(Clone, Debug)]
pub struct LeaderProcessor {
    config: LeaderConfig,
    term: Term,
    now: Instant,
    jitter: Jitter,
    identity: Identity,
    state: SyncState,
    /// The cursor and backend id that go with the state's upstream head.
    mark: UpstreamMark,
    /// How large a push may be: the configuration's and the backend's bounds together.
    limits: Limits,
    /// The local head of the log as last committed.
    log_head: SeqNum,
    /// The head of the materialized state.
    state_head: SeqNum,
    /// Events settled since undo data was last forgotten.
    unforgotten: usize,
    tail: Tail,
    turn: Turn,
    links: BTreeMap<LinkId, Link>,
    /// Whose links these are.
    attached: Arc<[AttachedSession]>,
    puller: Puller,
    pusher: Pusher,
    /// Present while the backend's history is compared with ours.
    history: Option<History>,
    returning: Returning,
    effects: VecDeque<Effect>,
    rebases: u64,
    last_error: Option<String>,
}

/// Where a leader begins: what the log holds, the state being materialized up to its head.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The heads of the log, after the commit that fenced earlier leaders.
    pub heads: Heads,
    /// The client's identity, stored in the log.
    pub identity: Identity,
    /// The events of the log after the settled head.
    pub pending: Vec<Event>,
    /// Own synced events that resets archived, after the upstream head: another client may bring them back.
    pub archived: Returning,
}

impl LeaderProcessor {
    /// A leader of `term` that begins with `recovered`. With `has_upstream` false it never syncs.
    #[must_use]
    pub fn new(
        config: LeaderConfig,
        term: Term,
        now: Instant,
        recovered: Recovered,
        has_upstream: bool,
    ) -> Self {
        let Recovered { heads, identity, pending, archived } = recovered;
        let state = SyncState::leader(&heads, pending);
        let mut tail = Tail::new(state.base(), config.tail_events, config.tail_bytes);
        let unsettled: Vec<Event> = state.pending.iter().cloned().collect();
        tail.change(None, &unsettled);
        Self {
            term,
            now,
            jitter: Jitter::new(config.seed),
            identity,
            // What was pushed before a restart is not known, so all of pending may have been.
            pusher: Pusher::new(&config, heads.local.global),
            puller: Puller::new(&config, now, has_upstream),
            mark: heads.upstream,
            limits: config.limits,
            log_head: heads.local,
            state_head: heads.local,
            unforgotten: 0,
            tail,
            state,
            turn: Turn::default(),
            links: BTreeMap::new(),
            attached: [].into(),
            history: None,
            returning: archived,
            effects: VecDeque::new(),
            rebases: 0,
            last_error: None,
            config,
        }
    }

    /// Takes in what happened. Poll effects afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::Attach { link, attach, record } => self.attach(link, attach, record),
            Input::Detach(link) => self.detach(link),
            Input::Session(link, message) => self.session_message(link, message),
            Input::Capabilities(capabilities) => self.learn_capabilities(&capabilities),
            Input::Connection(status) => self.puller.connection = status,
            Input::Page(pull, page) => self.page(pull, page),
            Input::PullEnded(pull, error) => self.pull_ended(pull, error),
            Input::PushAnswered(attempt, answer) => self.push_answered(attempt, answer),
            Input::LogRead { purpose: ReadPurpose::Serve { link, stream }, version, common, events } => {
                self.serve_from_log(link, stream, version, common, events);
            }
            Input::LogRead { events, .. } => self.history_read(events),
            Input::Applied(applied) => {
                if !applied.unknown.is_empty() {
                    self.effects.push_back(Effect::ReportUnknown(applied.unknown));
                }
            }
            Input::Identity(identity) => self.new_identity(identity),
            Input::SyncNow => self.sync_now(),
        }
    }

    /// Takes in that time passed: call it at the time that [`Self::poll_timeout`] names. Poll effects afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.pull_timeout();
        self.push_timeout();
    }

    /// The next effect, to be performed before the next call. Poll after every `handle` and `handle_timeout`, until there
    /// is none.
    #[must_use]
    pub fn poll_effect(&mut self) -> Option<Effect> {
        loop {
            if let Some(effect) = self.effects.pop_front() {
                return Some(effect);
            }
            if self.turn.is_dirty() {
                self.finish_turn();
            } else if !self.merge_gathered() {
                self.serve_links();
                self.start_pull();
                self.start_push();
                if self.effects.is_empty() && !self.turn.is_dirty() {
                    return None;
                }
            }
        }
    }

    /// When to call [`Self::handle_timeout`]; may change with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pull_deadline().into_iter().chain(self.push_deadline()).min()
    }

    /// The version that the log has reached.
    #[must_use]
    pub const fn local_head(&self) -> SeqNum {
        self.state.local_head
    }

    /// The last version that can no longer roll back.
    #[must_use]
    pub const fn settled_head(&self) -> SeqNum {
        self.state.settled_head
    }

    /// Merges a payload that this processor made and that therefore fits.
    ///
    /// # Panics
    /// If the payload does not fit: a bug of ours.
    fn merge_own(&mut self, payload: Payload) -> Change {
        match merge(&mut self.state, payload) {
            Ok(Outcome::Advance(change) | Outcome::Rebase(change)) => change,
            other => panic!("a payload of the leader's own making was refused: {other:?}"),
        }
    }

    /// Takes a change into the turn.
    fn add_to_turn(&mut self, change: Change) {
        if let Some(to) = change.rollback_to {
            self.rebases += 1;
            // Where only args were taken over, every event keeps the number it was pushed under.
            let only_adopts = !change.adopted.is_empty() && change.append.iter().all(|event| event.is_own);
            if !only_adopts {
                self.pusher.forget_pushed_after(to.global);
            }
        }
        if !change.adopted.is_empty() {
            self.turn.adopted.extend(change.adopted.iter().copied());
        }
        self.unforgotten += change.confirmed;
        self.tail.change(change.rollback_to, &change.append);
        self.turn.add(self.log_head, change);
    }

    /// Ends the turn, if one is under way, before something that may take back what it appended: sessions have been
    /// promised these versions.
    fn end_turn(&mut self) {
        if self.turn.is_dirty() {
            self.finish_turn();
        }
    }

    /// Makes the turn's effects: the log first, then the state, then what sessions and the application are told.
    fn finish_turn(&mut self) {
        let mut turn = std::mem::take(&mut self.turn);
        let changes_state = turn.changes_events();
        let (rollback_to, events) = (turn.rollback_to(), turn.append.clone());
        let (answers, adopted) = (std::mem::take(&mut turn.answers), std::mem::take(&mut turn.adopted));
        self.mark.head = self.state.upstream_head;
        let commit = turn.into_commit(&self.state, &self.mark);
        self.log_head = self.state.local_head;
        self.effects.push_back(Effect::CommitLog(commit));
        if changes_state || self.unforgotten >= FORGET_AFTER {
            self.unforgotten = 0;
            let settled: Position = self.state.settled_head.position();
            self.effects.push_back(Effect::Materialize {
                base: self.state_head,
                rollback_to,
                events,
                settled,
            });
            self.state_head = self.state.local_head;
        }
        for (link, payload) in answers {
            self.publish(link, payload);
        }
        if !adopted.is_empty() {
            self.effects.push_back(Effect::ReportAdopted(adopted));
        }
    }

    fn stop(&mut self, reason: StopReason) {
        // What sessions have pushed is made durable first.
        self.end_turn();
        self.puller.turn_off();
        self.effects.push_back(Effect::StopPull);
        self.effects.push_back(Effect::Stop(reason));
    }
}
