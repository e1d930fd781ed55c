//! Puts a store together from its parts.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use livestore_traits::{
    Eventlog, EventlogError, Identity, LeaderElection, LeaderError, LinkError, MaterializeError,
    Materializer, MaterializerSource, Rendezvous, SessionId, StoreId, SyncBackend, this_process,
};

use super::handle::Store;
use super::session::SessionOptions;
use super::sources::{OneState, OpenedStates};
use super::status::{Presence, PresenceWatch};
use crate::processor::{LeaderConfig, LeaderStatus, SessionConfig, SyncActivity};
use crate::runtime::{
    BeginError, Campaigning, LeaderFailure, LeaderHost, LeaderSettings, Member, NewIdentity, OnReplay,
    OpenLog, RecoveryError, RecoveryProgress, SeekError, UnknownPolicy, clock,
};

/// Is called with each status of a leader.
pub type OnProgress = Arc<dyn Fn(&LeaderStatus) + Send + Sync>;

/// Bounds and times of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreConfig {
    /// Those of the leader.
    pub leader: LeaderConfig,
    /// Those of each session.
    pub session: SessionConfig,
    /// How long starting waits for a leader in another process that does not answer, for example because it builds its
    /// state from the log; without limit if it is `None`. What this process itself takes to lead is not limited.
    pub leader_limit: Option<Duration>,
}

/// Whether starting waits for what the backend has.
#[derive(Clone, Default)]
pub enum InitialSync {
    /// Start with what is here.
    #[default]
    Skip,
    /// Wait until everything the backend has is here, but not longer than `limit`; then start with what is here.
    Wait {
        /// The longest wait.
        limit: Duration,
        /// Called with each status on the way.
        on_progress: Option<OnProgress>,
    },
}

impl fmt::Debug for InitialSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip => f.write_str("Skip"),
            Self::Wait { limit, .. } => write!(f, "Wait({limit:?})"),
        }
    }
}

/// Why a store could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A part is missing.
    #[error("the store has no {0}")]
    Missing(&'static str),
    /// Leadership could not be sought.
    #[error("leadership could not be acquired")]
    Election(#[from] LeaderError),
    /// The log or the state cannot be used.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The session's own state cannot be made.
    #[error("the session's state cannot be made")]
    State(#[from] MaterializeError),
    /// Nobody led within [`StoreConfig::leader_limit`].
    #[error("no leader answered in time{}", .led_by.as_ref().map(|who| format!("; {who} leads")).unwrap_or_default())]
    NoLeader {
        /// Who leads, as the election knows.
        led_by: Option<String>,
    },
    /// The leader stopped while the store was starting, or before the session was opened.
    #[error("the leader stopped")]
    Failed(#[source] Arc<LeaderFailure>),
    /// The leader cannot be reached: the store was shut down, or the leader does not fit this program.
    #[error("the leader cannot be reached")]
    Leader(#[source] LinkError),
}

/// Collects the parts of a store. An eventlog and a materializer are required.
#[must_use]
pub struct StoreBuilder {
    store_id: StoreId,
    open_log: Option<OpenLog>,
    states: Option<Arc<dyn MaterializerSource>>,
    backend: Option<Arc<dyn SyncBackend>>,
    ways: Campaigning,
    config: StoreConfig,
    session: SessionOptions,
    initial_sync: InitialSync,
    on_unknown: UnknownPolicy,
    on_replay: OnReplay,
    leader_host: LeaderHost,
    new_identity: NewIdentity,
}

impl fmt::Debug for StoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder").field("store_id", &self.store_id).finish_non_exhaustive()
    }
}

impl StoreBuilder {
    pub(super) fn new(store_id: StoreId) -> Self {
        Self {
            store_id,
            open_log: None,
            states: None,
            backend: None,
            ways: Campaigning::default(),
            config: StoreConfig::default(),
            session: SessionOptions::default(),
            initial_sync: InitialSync::default(),
            on_unknown: UnknownPolicy::default(),
            on_replay: Arc::new(Mutex::new(|_| {})),
            leader_host: LeaderHost::default(),
            new_identity: Arc::new(Mutex::new(clock::new_identity)),
        }
    }

    /// The durable log.
    pub fn eventlog(self, log: impl Eventlog) -> Self {
        let mut log = Some(log);
        // A leader that was replaced has closed it.
        self.open_eventlog(move || log.take().ok_or(EventlogError::Closed))
    }

    /// How to open the durable log, each time that this process begins to lead: the way to go beside an election.
    pub fn open_eventlog<L: Eventlog>(
        mut self,
        mut open: impl FnMut() -> Result<L, EventlogError> + Send + 'static,
    ) -> Self {
        let open = move || open().map(|log| Box::new(log) as Box<dyn Eventlog>);
        self.open_log = Some(Arc::new(Mutex::new(open)));
        self
    }

    /// The leader's state; each session gets a fork of it.
    pub fn materializer(self, state: impl Materializer) -> Self {
        self.states(OneState::new(state))
    }

    /// How to open the leader's state, each time that this process begins to lead; each session gets a fork of it. The
    /// way to go beside an election, if the state is a file.
    ///
    /// The state follows from the log: after [`MaterializeError::Corrupt`] throw its files away and start again, and it
    /// is rebuilt.
    pub fn open_materializer<M: Materializer>(
        self,
        open: impl FnMut() -> Result<M, MaterializeError> + Send + 'static,
    ) -> Self {
        self.states(OpenedStates::new(open))
    }

    /// Where states come from, that of the leader and those of sessions: the way to go beside a rendezvous, where a session
    /// may have no leader in its process.
    pub fn states(mut self, states: impl MaterializerSource) -> Self {
        self.states = Some(Arc::new(states));
        self
    }

    /// The backend, or a way to it. Without one the store works offline only.
    pub fn upstream(mut self, backend: impl SyncBackend) -> Self {
        self.backend = Some(Arc::new(backend));
        self
    }

    /// Who may lead. Without one this process does, and fences whoever else has the log open.
    pub fn election(mut self, election: impl LeaderElection) -> Self {
        self.ways.election = Some(Arc::new(election));
        self
    }

    /// Where sessions of other processes find the leader. With it any number of processes share one client: one leads,
    /// the others follow it, and one of them takes over when it is gone. Needs an election.
    pub fn rendezvous(mut self, rendezvous: impl Rendezvous) -> Self {
        self.ways.rendezvous = Some(Arc::new(rendezvous));
        self
    }

    /// The id of the store's own session; generated if it is not given.
    pub fn session_id(mut self, session_id: SessionId) -> Self {
        self.session.session_id = Some(session_id);
        self
    }

    /// All options of the store's own session.
    pub fn session(mut self, options: SessionOptions) -> Self {
        self.session = options;
        self
    }

    /// Bounds and times.
    pub fn config(mut self, config: StoreConfig) -> Self {
        self.config = config;
        self
    }

    /// Whether starting waits for what the backend has.
    pub fn initial_sync(mut self, initial_sync: InitialSync) -> Self {
        self.initial_sync = initial_sync;
        self
    }

    /// What to do with events that the application does not know.
    pub fn on_unknown(mut self, policy: UnknownPolicy) -> Self {
        self.on_unknown = policy;
        self
    }

    /// Called while the state is brought up from the log, for progress.
    pub fn on_replay(mut self, progress: impl FnMut(RecoveryProgress) + Send + 'static) -> Self {
        self.on_replay = Arc::new(Mutex::new(progress));
        self
    }

    /// Where the leader runs, when it is in this process.
    pub fn leader_host(mut self, host: LeaderHost) -> Self {
        self.leader_host = host;
        self
    }

    /// How to make a client id with the secret that proves it, once for each new log, and again when a backend says that
    /// another client owns the id. Without it, ids are random; a secret must not be guessed.
    pub fn new_identity(mut self, make: impl FnMut() -> Identity + Send + 'static) -> Self {
        self.new_identity = Arc::new(Mutex::new(make));
        self
    }

    /// Leads, or follows whoever leads, and starts. Waits for a leader, and for the backend if asked to.
    ///
    /// Runs on the tokio runtime it is called in, beside a thread for the leader unless that is a task.
    ///
    /// # Errors
    /// [`StartError`] if a part is missing or cannot be used.
    ///
    /// # Cancel safety
    /// Cancel safe: what was started ends by itself.
    pub async fn start(self) -> Result<Store, StartError> {
        if self.ways.rendezvous.is_some() && self.ways.election.is_none() {
            // Each would fence the other, again and again.
            return Err(StartError::Missing("election, which a rendezvous needs"));
        }
        let label = |given: Arc<str>| if given.is_empty() { this_process().into() } else { given };
        let leader = self.config.leader;
        let settings = LeaderSettings {
            config: LeaderConfig { label: label(leader.label), seed: clock::new_seed(), ..leader },
            open_log: self.open_log.ok_or(StartError::Missing("eventlog"))?,
            states: self.states.ok_or(StartError::Missing("materializer"))?,
            backend: self.backend,
            on_unknown: self.on_unknown,
            on_replay: self.on_replay,
            host: self.leader_host,
            new_identity: self.new_identity,
        };
        let election = self.ways.election.clone();
        let limit = self.config.leader_limit.unwrap_or(Duration::MAX);
        let member = Member::begin(settings, self.ways, limit).await.map_err(|error| match error {
            BeginError::Seek(SeekError::Election(error)) => StartError::Election(error),
            BeginError::Seek(SeekError::Recovery(error)) => StartError::Recovery(error),
            BeginError::Seek(SeekError::Link(error)) => StartError::Leader(error),
            BeginError::NoLeader => StartError::NoLeader { led_by: led_by(election.as_deref()) },
        })?;
        let session = self.config.session;
        let session = SessionConfig { label: label(session.label), ..session };
        let mut presence = PresenceWatch::of(&member);
        // Why it is over is told by who opens the session.
        let unreachable = async {
            match presence.unreachable(limit).await {
                Presence::Over => std::future::pending().await,
                presence => presence,
            }
        };
        let store = tokio::select! {
            biased;
            opened = Store::with_member(self.store_id, member, session, self.session) => opened?,
            _ = unreachable => return Err(StartError::NoLeader { led_by: led_by(election.as_deref()) }),
        };
        if let InitialSync::Wait { limit, on_progress } = self.initial_sync {
            wait_for_sync(&store, limit, on_progress.as_deref()).await;
        }
        Ok(store)
    }
}

/// Who leads, as the election knows.
fn led_by(election: Option<&dyn LeaderElection>) -> Option<String> {
    election.and_then(|election| election.led_by().ok().flatten())
}

async fn wait_for_sync(
    store: &Store,
    limit: Duration,
    on_progress: Option<&(dyn Fn(&LeaderStatus) + Send + Sync)>,
) {
    let caught_up = async {
        let mut status = store.watch_status();
        let caught_up = status.wait_for(|status| {
            if let Some(on_progress) = on_progress {
                on_progress(status);
            }
            matches!(status.activity, SyncActivity::CaughtUp | SyncActivity::Off)
        });
        if let Some(leader) = caught_up.await {
            // Whoever starts the store reads its session next. A leader that stops meanwhile is found out by the caller.
            let _ = store.has_arrived(store.session(), &leader).await;
        }
    };
    if tokio::time::timeout(limit, caught_up).await.is_err() {
        tracing::info!(?limit, "the backend did not answer in time; starting with what is here");
    }
}
