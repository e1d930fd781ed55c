//! A client: its log, who leads it, and its processes.

use std::sync::Arc;
use std::time::Duration;

use livestore_engine::{Session, SessionOptions, ShutdownError, StartError, Store, StoreConfig};
use livestore_leader_memory::{MemoryElection, MemoryRendezvous};
use livestore_traits::{ClientId, ClientSecret, EventlogError, Identity, SessionId, StoreId, SyncBackend};
use tokio::task::JoinHandle;

use crate::broken::Broken;
use crate::election::LateElection;
use crate::gate::Gate;
use crate::log::{CheckedLog, LogModel, ModelHandle, Opener};
use crate::record::Record;
use crate::storage::Storage;

/// How long a process waits for a leader before it gives up and is started again.
const LEADER_LIMIT: Duration = Duration::from_secs(20);

/// How leadership expires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) lasts: Duration,
    /// How much later its holder learns it.
    pub(crate) late: Duration,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) knows_extra: bool,
    pub(crate) model: ModelHandle,
    pub(crate) election: MemoryElection,
    /// How much later its leaders learn that they lead no more.
    late: Duration,
    pub(crate) processes: Vec<Process>,
    /// Ids of sessions that have ended, which new ones may have.
    pub(crate) retired: Vec<SessionId>,
    rendezvous: MemoryRendezvous,
    pub(crate) storage: Storage,
    config: StoreConfig,
    record: Record,
    broken: Option<Broken>,
}

/// One process of a client. Its sessions come with the index of their account.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) gate: Gate,
    pub(crate) phase: Phase,
    pub(crate) sessions: Vec<(Session, usize)>,
    pub(crate) opening: Vec<(SessionId, JoinHandle<Result<Session, StartError>>)>,
    /// Of its first session.
    pub(crate) session_id: SessionId,
}

/// What a process is doing.
#[derive(Debug)]
pub(crate) enum Phase {
    Starting(JoinHandle<Result<Store, StartError>>),
    Running(Store),
    Closing(JoinHandle<Result<(), ShutdownError>>),
}

impl Process {
    pub(crate) fn store(&self) -> Option<&Store> {
        match &self.phase {
            Phase::Running(store) => Some(store),
            Phase::Starting(_) | Phase::Closing(_) => None,
        }
    }
}

impl Client {
    pub(crate) fn new(
        name: String,
        knows_extra: bool,
        storage: Storage,
        lease: Option<Lease>,
        config: StoreConfig,
        record: Record,
        broken: Option<Broken>,
    ) -> Self {
        Self {
            model: ModelHandle::new(LogModel::new(name.clone(), knows_extra)),
            name,
            knows_extra,
            election: lease.map_or_else(MemoryElection::new, |lease| MemoryElection::with_lease(lease.lasts)),
            late: lease.map_or(Duration::ZERO, |lease| lease.late),
            processes: Vec::new(),
            retired: Vec::new(),
            rendezvous: MemoryRendezvous::new(),
            storage,
            config,
            record,
            broken,
        }
    }

    /// One process more, that reaches the backend over `way`.
    pub(crate) fn start(
        &mut self,
        name: String,
        way: Arc<dyn SyncBackend>,
        session_id: SessionId,
        seed: u64,
    ) {
        let gate = Gate::default();
        let mut config = self.config.clone();
        config.leader_limit = Some(LEADER_LIMIT);
        let mut session = SessionOptions::default();
        session.session_id = Some(session_id.clone());
        let mut ids = fastrand::Rng::with_seed(seed);
        let starting = Store::builder(StoreId::new("notebook").expect("a good store id"))
            .config(config)
            .election(LateElection { election: self.election.clone(), late: self.late })
            .rendezvous(self.rendezvous.clone())
            .open_eventlog(self.opener(&name, gate.clone()))
            .upstream(way)
            .session(session)
            .leader_host(gate.host())
            .new_identity(move || identity(&mut ids));
        let starting = self.storage.states(starting, self.knows_extra).start();
        let phase = Phase::Starting(tokio::spawn(starting));
        let (sessions, opening) = (Vec::new(), Vec::new());
        self.processes.push(Process { name, gate, phase, sessions, opening, session_id });
    }

    fn opener(
        &self,
        name: &str,
        gate: Gate,
    ) -> impl FnMut() -> Result<CheckedLog, EventlogError> + Send + 'static + use<> {
        let (storage, model, record) = (self.storage.clone(), self.model.clone(), self.record.clone());
        let process = Opener { name: name.to_owned(), gate, broken: self.broken };
        move || {
            if process.gate.is_dead() {
                return Err(EventlogError::Closed);
            }
            CheckedLog::new(storage.open_log()?, model.clone(), record.clone(), process.clone())
        }
    }

    /// Kills a process: its leader does nothing more, and its sessions end. Of what it wrote, everything is there, unless
    /// the power goes with it.
    pub(crate) fn kill(&mut self, at: usize, power: bool) -> Process {
        let mut process = self.processes.remove(at);
        process.gate.kill();
        let mut model = self.model.lock();
        if model.is_held_by(&process.name) {
            self.storage.kill(power);
            model.release();
        }
        drop(model);
        self.retired.push(process.session_id.clone());
        for (session, _) in process.sessions.drain(..) {
            if *session.id() != process.session_id {
                self.retired.push(session.id().clone());
            }
        }
        for (_, opening) in process.opening.drain(..) {
            opening.abort();
        }
        match &process.phase {
            Phase::Starting(starting) => starting.abort(),
            Phase::Closing(closing) => closing.abort(),
            Phase::Running(_) => {}
        }
        process
    }
}

fn identity(ids: &mut fastrand::Rng) -> Identity {
    let client_id: String = (0..6).map(|_| ids.lowercase()).collect();
    let secret = ClientSecret(ids.u128(..).to_le_bytes());
    Identity { client_id: ClientId::new(client_id).expect("six letters are an id"), secret }
}
