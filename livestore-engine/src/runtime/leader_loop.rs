//! The leader's loop.
//!
//! It takes what is in its inbox, lets the core decide, and performs what the core hands out. It sleeps until the next
//! message or the processor's next deadline.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use livestore_traits::{
    Attached, Eventlog, EventlogError, Identity, LeaderItem, Leadership, MaterializerSource, Quarantined,
    SeqNum, SyncBackend, Term, UnknownEvent,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc as async_mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::clock;
use super::core::{LeaderCore, LeaderFailure, OutwardEffect};
use super::inbox::{Inbox, Messages};
use super::leader_handle::{LeaderMessage, ShutDown};
use super::leader_host::LeaderHost;
use super::recovery::{RecoveryError, RecoveryProgress};
use super::upstream::Upstream;
use crate::processor::{Input, LeaderConfig, LeaderStatus, LinkId};

/// The longest sleep without a deadline.
const IDLE: Duration = Duration::from_secs(3600);

/// The most messages taken in before their effects are performed.
const MESSAGES_AT_ONCE: usize = 1024;

/// Opens the log, each time that this process begins to lead.
pub(crate) type OpenLog = Arc<Mutex<dyn FnMut() -> Result<Box<dyn Eventlog>, EventlogError> + Send>>;

/// Is told while the state is brought up from the log.
pub(crate) type OnReplay = Arc<Mutex<dyn FnMut(RecoveryProgress) + Send>>;

/// Makes a client id with the secret that proves it.
pub(crate) type NewIdentity = Arc<Mutex<dyn FnMut() -> Identity + Send>>;

/// What a leader needs to begin, as often as it does.
#[derive(Clone)]
pub(crate) struct LeaderSettings {
    pub(crate) host: LeaderHost,
    pub(crate) config: LeaderConfig,
    pub(crate) open_log: OpenLog,
    pub(crate) states: Arc<dyn MaterializerSource>,
    pub(crate) backend: Option<Arc<dyn SyncBackend>>,
    pub(crate) on_unknown: UnknownPolicy,
    pub(crate) on_replay: OnReplay,
    pub(crate) new_identity: NewIdentity,
}

/// Where a leader's status is published; shared by all leaders that a store has one after the other.
pub(crate) type StatusBoard = Arc<watch::Sender<LeaderStatus>>;

/// What to do with events that the application does not know.
#[derive(Clone, Default)]
pub enum UnknownPolicy {
    /// Log a warning.
    #[default]
    Warn,
    /// Say nothing.
    Ignore,
    /// Stop the store with an error.
    Fail,
    /// Call this.
    Callback(Arc<dyn Fn(&UnknownEvent) + Send + Sync>),
}

impl fmt::Debug for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warn => "Warn",
            Self::Ignore => "Ignore",
            Self::Fail => "Fail",
            Self::Callback(_) => "Callback(..)",
        })
    }
}

/// A leader with its log and state open.
pub(super) struct LeaderLoop {
    core: LeaderCore,
    board: StatusBoard,
    upstream: Option<Upstream>,
    links: BTreeMap<LinkId, async_mpsc::UnboundedSender<LeaderItem>>,
    attaching: HashMap<LinkId, oneshot::Sender<(LinkId, Attached)>>,
    next_link: u64,
    on_unknown: UnknownPolicy,
    new_identity: NewIdentity,
    /// Watches for the loss of leadership; dropping it ends that.
    watch: JoinSet<()>,
    // Dropped last: leadership is given up when log and state are closed.
    _leadership: Option<Arc<dyn Leadership>>,
}

impl LeaderLoop {
    /// Opens log and state and recovers.
    pub(super) fn open(
        settings: LeaderSettings,
        leadership: Option<Arc<dyn Leadership>>,
        board: Option<StatusBoard>,
        inbox: Inbox,
        runtime: Handle,
    ) -> Result<Self, RecoveryError> {
        let log = unpoisoned(&settings.open_log)()?;
        let state = settings.states.open()?;
        let term = match &leadership {
            Some(leadership) => leadership.term(),
            None => Term(log.heads()?.term.0 + 1),
        };
        let core = LeaderCore::open(
            log,
            state,
            term,
            settings.config,
            clock::now(),
            settings.backend.is_some(),
            || unpoisoned(&settings.new_identity)(),
            &mut *unpoisoned(&settings.on_replay),
        )?;
        let board = match board {
            Some(board) => {
                board.send_replace(core.status());
                board
            }
            None => Arc::new(watch::Sender::new(core.status())),
        };
        let mut watch = JoinSet::new();
        if let Some(leadership) = leadership.clone() {
            watch.spawn_on(watch_leadership(leadership, inbox.clone()), &runtime);
        }
        let upstream = settings.backend.map(|backend| Upstream::new(backend, inbox, runtime));
        Ok(Self {
            core,
            board,
            upstream,
            links: BTreeMap::new(),
            attaching: HashMap::new(),
            next_link: 0,
            on_unknown: settings.on_unknown,
            new_identity: settings.new_identity,
            watch,
            _leadership: leadership,
        })
    }

    /// Where its status is published.
    pub(super) fn board(&self) -> StatusBoard {
        self.board.clone()
    }

    /// Leads on this thread until it is told to stop, by the returned sender, or nobody is left to tell it anything.
    pub(super) fn run(&mut self, messages: &Messages) -> Result<Option<ShutDown>, LeaderFailure> {
        self.perform_effects()?;
        loop {
            let Ok(first) = messages.wait(self.deadline()) else { return Ok(None) };
            if let ControlFlow::Break(done) = self.turn(first, messages)? {
                return Ok(done);
            }
        }
    }

    /// As [`Self::run`], in a task.
    pub(super) async fn run_as_task(
        &mut self,
        messages: &mut Messages,
    ) -> Result<Option<ShutDown>, LeaderFailure> {
        self.perform_effects()?;
        loop {
            let first = messages.next(self.deadline()).await;
            if let ControlFlow::Break(done) = self.turn(first, messages)? {
                return Ok(done);
            }
        }
    }

    /// Until when it may sleep.
    fn deadline(&self) -> Instant {
        self.core.poll_timeout().unwrap_or_else(|| clock::now() + IDLE)
    }

    /// Takes in what is there, and does what is due.
    fn turn(
        &mut self,
        first: Option<LeaderMessage>,
        messages: &Messages,
    ) -> Result<ControlFlow<Option<ShutDown>>, LeaderFailure> {
        for message in first.into_iter().chain(messages.ready().take(MESSAGES_AT_ONCE)) {
            if let ControlFlow::Break(done) = self.take(message)? {
                return Ok(ControlFlow::Break(done));
            }
        }
        self.core.handle_timeout(clock::now());
        self.perform_effects()?;
        Ok(ControlFlow::Continue(()))
    }

    /// Closes log and state. The tasks returned are to be ended: what they hold is given up with the last of them.
    pub(super) fn close(self) -> Vec<JoinSet<()>> {
        let upstream = self.upstream.map(Upstream::into_tasks);
        upstream.into_iter().chain([self.watch]).collect()
    }

    fn take(&mut self, message: LeaderMessage) -> Result<ControlFlow<Option<ShutDown>>, LeaderFailure> {
        let now = clock::now();
        match message {
            LeaderMessage::Input(input) => self.core.handle(now, input),
            LeaderMessage::Page(page, permit) => {
                self.core.handle(now, page);
                permit.taken_in();
            }
            LeaderMessage::Attach { attach, items, reply } => {
                let link = LinkId(self.next_link);
                self.next_link += 1;
                self.links.insert(link, items);
                self.attaching.insert(link, reply);
                // What this session had pushed before must be in the log when its record is read.
                self.perform_effects()?;
                let record = self.core.session(&attach.session_id)?;
                self.core.handle(now, Input::Attach { link, attach, record });
            }
            LeaderMessage::Snapshot { session_id, reply } => {
                self.perform_effects()?;
                let _ = reply.send(self.core.snapshot(&session_id));
            }
            LeaderMessage::Reader(reply) => {
                let _ = reply.send(self.core.reader());
            }
            LeaderMessage::SyncNow(done) => {
                self.core.handle(now, Input::SyncNow);
                self.perform_effects()?;
                // Whoever asked may have stopped waiting.
                let _ = done.send(self.board.borrow().clone());
            }
            LeaderMessage::Lost(lost) => return Err(lost.into()),
            LeaderMessage::Shutdown(done) => {
                self.perform_effects()?;
                return Ok(ControlFlow::Break(Some(done)));
            }
            LeaderMessage::Abandoned => {
                self.perform_effects()?;
                return Ok(ControlFlow::Break(None));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn perform_effects(&mut self) -> Result<(), LeaderFailure> {
        while let Some(effect) = self.core.poll(clock::now())? {
            self.perform(effect)?;
        }
        let mut status = self.core.status();
        self.board.send_if_modified(|known| {
            status.revision = known.revision;
            let changed = *known != status;
            if changed {
                status.revision += 1;
                *known = status;
            }
            changed
        });
        Ok(())
    }

    fn perform(&mut self, effect: OutwardEffect) -> Result<(), LeaderFailure> {
        match effect {
            OutwardEffect::Attached(link, attached) => {
                // A session that no longer waits drops its end of the items, and is detached by the next one.
                let _ = self.attaching.remove(&link).map(|reply| reply.send((link, attached)));
            }
            OutwardEffect::Publish(link, item) => self.publish(link, item),
            OutwardEffect::CloseLink(link) => {
                self.links.remove(&link);
                self.attaching.remove(&link);
            }
            OutwardEffect::StartPull(id, pull) => {
                if let Some(upstream) = &mut self.upstream {
                    upstream.start_pull(id, pull);
                }
            }
            OutwardEffect::StopPull => {
                if let Some(upstream) = &mut self.upstream {
                    upstream.stop_pull();
                }
            }
            OutwardEffect::Push(attempt, push) => {
                if let Some(upstream) = &mut self.upstream {
                    upstream.push(attempt, push);
                }
            }
            OutwardEffect::NewIdentity => {
                let identity = unpoisoned(&self.new_identity)();
                self.core.handle(clock::now(), Input::Identity(identity));
            }
            OutwardEffect::Unknown(unknown) => self.report_unknown(unknown)?,
            OutwardEffect::Quarantined(quarantined) => report_quarantined(&quarantined),
            OutwardEffect::Adopted(adopted) => report_adopted(&adopted),
            OutwardEffect::Stop(reason) => return Err(reason.into()),
        }
        Ok(())
    }

    fn publish(&mut self, link: LinkId, item: LeaderItem) {
        let gone = self.links.get(&link).is_none_or(|items| items.send(item).is_err());
        if gone && self.links.remove(&link).is_some() {
            self.core.handle(clock::now(), Input::Detach(link));
        }
    }

    fn report_unknown(&self, unknown: Vec<UnknownEvent>) -> Result<(), LeaderFailure> {
        for event in unknown {
            match &self.on_unknown {
                UnknownPolicy::Warn => {
                    tracing::warn!(num = %event.num, name = %event.name, "an event is not known to this application");
                }
                UnknownPolicy::Ignore => {}
                UnknownPolicy::Fail => return Err(LeaderFailure::Unknown(event)),
                UnknownPolicy::Callback(callback) => callback(&event),
            }
        }
        Ok(())
    }
}

/// What an application's closure left behind when it panicked is its own business.
pub(crate) fn unpoisoned<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn report_quarantined(quarantined: &[Quarantined]) {
    for event in quarantined {
        tracing::warn!(num = %event.num, name = %event.name, error = event.error, "the materializer of an event failed");
    }
}

fn report_adopted(adopted: &[SeqNum]) {
    for num in adopted {
        tracing::warn!(%num, "the backend has this event with other args, which were taken over");
    }
}

/// Tells the leader when it leads no more.
async fn watch_leadership(leadership: Arc<dyn Leadership>, inbox: Inbox) {
    let lost = leadership.lost().await;
    // A leader that ended by itself needs no telling.
    let _ = inbox.send(LeaderMessage::Lost(lost));
}
