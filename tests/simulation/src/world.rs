//! The clients of a run, their network and their server, and what can happen to them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use livestore_backend_memory::{Clock, LogConfig};
use livestore_disk::SimDisk;
use livestore_engine::processor::Diverged;
use livestore_engine::{Presence, SessionOptions, Store, StoreConfig};
use livestore_eventlog_memory::MemoryStorage;
use livestore_sim_network::Wire;
use livestore_traits::{GlobalSeq, Limits, Push, SessionId, SyncBackend, UnixMillis};
use livestore_transport_memory::LinkConfig;

use crate::app::Kind;
use crate::broken::{Broken, Positional};
use crate::client::{Client, Lease, Phase, Process};
use crate::faults::Fault;
use crate::ledger::Account;
use crate::machine::Machine;
use crate::plan::{Layer, Plan};
use crate::record::Record;
use crate::server::Server;
use crate::storage::Storage;
use crate::ways::Ways;

/// Processes of a client at a time.
const MOST_PROCESSES: usize = 2;

/// Everything that a run has.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) chance: fastrand::Rng,
    pub(crate) record: Record,
    pub(crate) server: Server,
    pub(crate) ways: Ways,
    wires: Vec<Wire>,
    pub(crate) clients: Vec<Client>,
    pub(crate) accounts: Vec<Account>,
    /// The backend has been replaced: what an older one confirmed may be gone.
    pub(crate) was_replaced: bool,
    pub(crate) machine: Machine,
    ids: usize,
}

impl World {
    pub(crate) fn new(plan: Plan, record: Record) -> Self {
        let mut chance = fastrand::Rng::with_seed(plan.seed);
        let lies = plan.broken == Some(Broken::AckBeforeSync);
        let machine = Machine::new(plan.layer, log_config(&mut chance), chance.u64(..), lies);
        let server = Server::new(record.clone(), plan.broken);
        let ways = Ways::new(plan.layer, chance.u64(..));
        // LiveStore's wire has no word for an event that is refused for good: its clients push it for ever.
        let wires: &[Wire] = if plan.faults.has(Fault::Rejection) { &Wire::NATIVE } else { &Wire::ALL };
        let mut world = Self {
            chance,
            record,
            server,
            ways,
            wires: wires.to_vec(),
            clients: Vec::new(),
            accounts: Vec::new(),
            was_replaced: false,
            machine,
            ids: 0,
            plan,
        };
        world.restart_server();
        let config = world.link_config();
        world.ways.configure(config);
        for at in 0..world.plan.clients {
            let client = world.new_client(at);
            world.clients.push(client);
        }
        world
    }

    fn new_client(&mut self, at: usize) -> Client {
        let faults = self.plan.faults;
        let knows_extra = !faults.has(Fault::UnknownEvent) || at == 0 || self.chance.bool();
        if !knows_extra {
            self.record.fault(Fault::UnknownEvent, format_args!("c{at} is an older one"));
        }
        let (storage, can_lose) = match self.plan.layer {
            Layer::Memory | Layer::Network => (Storage::Memory(MemoryStorage::default()), true),
            // Whoever has a file of redb open keeps it, whatever became of its lease.
            Layer::Disk => (Storage::disk(self.chance.u64(..)), false),
        };
        let lease = (can_lose && faults.has(Fault::LeaderPause) && self.chance.bool()).then(|| Lease {
            lasts: Duration::from_secs(3),
            late: Duration::from_secs(self.chance.u64(..30)),
        });
        let (config, record) = (self.store_config(), self.record.clone());
        record.tell(format_args!("c{at}: if its backend is another one: {:?}", config.leader.diverged));
        Client::new(format!("c{at}"), knows_extra, storage, lease, config, record, self.plan.broken)
    }

    /// Sizes small enough that everything is cut into several pieces.
    fn store_config(&mut self) -> StoreConfig {
        let mut config = StoreConfig::default();
        let chance = &mut self.chance;
        let lossy = [Fault::BackendReset, Fault::BackendRestored, Fault::BackendRolledBack];
        if lossy.iter().any(|fault| self.plan.faults.has(*fault)) && chance.bool() {
            config.leader.diverged = Diverged::Reseed;
        }
        config.leader.tail_events = chance.usize(1..=40);
        config.leader.gather_events = chance.usize(1..=30);
        config.leader.items_ahead = chance.u32(1..=4);
        config.leader.limits.max_batch_events = chance.usize(4..=20);
        config.session.limits = config.leader.limits;
        config.session.max_push_events = chance.usize(1..=20);
        config
    }

    /// How messages travel while there are faults.
    fn link_config(&mut self) -> LinkConfig {
        let chance = &mut self.chance;
        let mut links = LinkConfig::with_latency(chance.u64(0..=50), chance.u64(0..=100));
        let faults = self.plan.faults;
        let mut some = |fault, most: f64| if faults.has(fault) { chance.f64() * most } else { 0.0 };
        links.loss = some(Fault::Loss, 0.15);
        links.duplicate = some(Fault::Duplication, 0.2);
        links.reorder = some(Fault::Reordering, 0.2);
        links
    }

    pub(crate) fn new_id(&mut self) -> usize {
        self.ids += 1;
        self.ids
    }

    /// One process more of a client.
    pub(crate) fn start(&mut self, at: usize) {
        if self.clients[at].processes.len() == MOST_PROCESSES {
            return;
        }
        self.damage_state(at);
        let id = self.new_id();
        let name = format!("{}.p{id}", self.clients[at].name);
        let wire = self.chance.choice(&self.wires).copied().unwrap_or(Wire::Ws);
        let way = self.ways.connect(&name, &self.server, wire);
        let way = match self.plan.broken {
            Some(Broken::PositionalConfirm) => Arc::new(Positional::new(way)) as Arc<dyn SyncBackend>,
            _ => way,
        };
        let session_id = self.session_id(at);
        let seed = self.chance.u64(..);
        let over = if self.plan.layer == Layer::Network { format!(", over {wire:?}") } else { String::new() };
        self.record.tell(format_args!("{name} starts, with session {session_id}{over}"));
        self.clients[at].start(name, way, session_id, seed);
    }

    /// An id for a session: a new one, or that of one that has ended.
    pub(crate) fn session_id(&mut self, at: usize) -> SessionId {
        let retired = &mut self.clients[at].retired;
        if !retired.is_empty() && self.chance.bool() {
            let nth = self.chance.usize(..retired.len());
            return retired.swap_remove(nth);
        }
        let id = self.new_id();
        SessionId::new(format!("s{id}")).expect("a good session id")
    }

    /// A running store of a client.
    pub(crate) fn running(&mut self, at: usize) -> Option<usize> {
        let running: Vec<_> = (0..self.clients[at].processes.len())
            .filter(|nth| self.clients[at].processes[*nth].store().is_some())
            .collect();
        self.chance.choice(running)
    }

    /// One unit of a session: mostly one event, mostly one that is shared.
    pub(crate) fn commit(&mut self, at: usize, process: usize) {
        let sessions = &self.clients[at].processes[process].sessions;
        let Some((session, account)) = self.chance.choice(sessions).cloned() else { return };
        let count = if self.chance.f64() < 0.8 { 1 } else { self.chance.usize(2..=4) };
        let unit: Vec<_> = (0..count).map(|_| (self.kind(at), format!("t{}", self.new_id()))).collect();
        let name = format!("{}.{}", self.clients[at].name, session.id());
        match self.accounts[account].commit(&session, unit.clone()) {
            Ok(()) => {
                let commit = self.accounts[account].commits.last().expect("it was made just now");
                let events: Vec<_> = unit.iter().map(|(kind, text)| format!("{kind:?} {text}")).collect();
                self.record.tell(format_args!("{name} commits {} up to {}", events.join(", "), commit.num()));
            }
            Err(error) => {
                if unit.iter().any(|(kind, _)| *kind == Kind::Fussy) {
                    self.record.fault(Fault::MaterializerFailure, format_args!("{name} at a commit"));
                } else {
                    self.record.tell(format_args!("{name}: {error}"));
                }
            }
        }
    }

    fn kind(&mut self, at: usize) -> Kind {
        let faults = self.plan.faults;
        match self.chance.u32(..100) {
            0..15 => Kind::Draft,
            15..25 if faults.has(Fault::MaterializerFailure) => Kind::Fussy,
            25..35 if self.clients[at].knows_extra => Kind::Extra,
            35..38 if faults.has(Fault::Rejection) => Kind::Banned,
            _ => Kind::Put,
        }
    }

    /// Damages a client's state, if nobody has it open.
    fn damage_state(&mut self, at: usize) {
        let client = &self.clients[at];
        if client.processes.is_empty()
            && self.plan.faults.has(Fault::StateDamage)
            && self.chance.f64() < 0.3
            && let Some(device) = client.storage.device()
            && let Some(done) = device.damage_state(&mut self.chance)
        {
            self.record.fault(Fault::StateDamage, format_args!("{}: {done}", client.name));
        }
    }

    /// Kills a process as SIGKILL would, or as a power cut.
    pub(crate) fn kill(&mut self, at: usize, process: usize, power: bool) {
        let Process { name, phase, .. } = self.clients[at].kill(process, power);
        // A dead process is not heard of any more.
        self.ways.end_client(&name, power);
        drop(phase);
    }

    pub(crate) fn open_session(&mut self, at: usize, process: usize) {
        let session_id = self.session_id(at);
        let Process { name, phase, opening, .. } = &mut self.clients[at].processes[process];
        let Phase::Running(store) = phase else { return };
        self.record.tell(format_args!("{name} opens session {session_id}"));
        let mut options = SessionOptions::default();
        options.session_id = Some(session_id.clone());
        let store: Store = store.clone();
        opening.push((session_id, tokio::spawn(async move { store.open_session(options).await })));
    }

    /// Notices what has been done since the last look: processes that run now, sessions that are open, stores that are
    /// over.
    pub(crate) fn look(&mut self) {
        for at in 0..self.clients.len() {
            for process in (0..self.clients[at].processes.len()).rev() {
                if !self.look_at(at, process) {
                    let power = self.may_lose_power();
                    self.kill(at, process, power);
                }
            }
        }
        self.look_at_server();
        self.accounts.iter_mut().for_each(Account::look);
    }

    /// Whether the power goes with a process that ends.
    pub(crate) fn may_lose_power(&mut self) -> bool {
        let power = self.plan.faults.has(Fault::PowerLoss) && self.chance.bool();
        if power {
            self.record.fault(Fault::PowerLoss, "the power goes");
        }
        power
    }

    /// A server whose storage failed ends, and one that was to die is dead.
    fn look_at_server(&mut self) {
        let died = self.machine.disk().is_some_and(SimDisk::is_dead);
        if self.server.is_up() && (died || self.server.has_failed()) {
            self.record.fault(Fault::ServerCrash, if died { "in a write" } else { "its storage failed" });
            self.stop_server();
        }
    }

    /// The server's process ends, perhaps with the power.
    pub(crate) fn stop_server(&mut self) {
        self.server.stop();
        let power = self.may_lose_power();
        self.ways.end_server(power);
        self.machine.kill(power);
    }

    /// Whether a process goes on.
    fn look_at(&mut self, at: usize, nth: usize) -> bool {
        let (accounts, record) = (&mut self.accounts, self.record.clone());
        let process = &mut self.clients[at].processes[nth];
        let name = process.name.clone();
        for (id, opening) in std::mem::take(&mut process.opening) {
            if !opening.is_finished() {
                process.opening.push((id, opening));
            } else if let Some(Ok(Ok(session))) = opening.now_or_never() {
                accounts.push(Account::new(at, session.id().clone()));
                process.sessions.push((session, accounts.len() - 1));
            } else {
                record.tell(format_args!("{name}: session {id} could not be opened"));
            }
        }
        match &mut process.phase {
            _ if process.gate.is_dead() => false,
            Phase::Starting(starting) if starting.is_finished() => match starting.now_or_never() {
                Some(Ok(Ok(store))) => {
                    record.tell(format_args!("{name} runs, {:?}", store.presence()));
                    accounts.push(Account::new(at, process.session_id.clone()));
                    process.sessions.push((store.session().clone(), accounts.len() - 1));
                    process.phase = Phase::Running(store);
                    true
                }
                other => {
                    let why = other.map(|ended| {
                        ended.map(|started| started.map(drop).map_err(|error| error.to_string()))
                    });
                    record.tell(format_args!("{name} could not start: {why:?}"));
                    false
                }
            },
            Phase::Closing(closing) if closing.is_finished() => {
                let closed = closing.now_or_never();
                record.tell(format_args!("{name} is closed: {closed:?}"));
                if matches!(closed, Some(Ok(Ok(())))) {
                    let live = process.sessions.iter().map(|(_, account)| *account);
                    live.for_each(|account| accounts[account].ended_in_order = true);
                }
                false
            }
            Phase::Running(store) if store.presence() == Presence::Over => {
                record.tell(format_args!("{name} is over: {:?}", store.failure()));
                let device = self.clients[at].storage.device();
                if device.is_some_and(|device| device.disk().is_dead()) {
                    record.fault(Fault::CommitCrash, format_args!("{name}, in a write"));
                }
                false
            }
            _ => true,
        }
    }

    /// The backend goes on, on another machine and under a new id, as the first `len` events of itself.
    pub(crate) async fn replace_backend(&mut self, len: usize) {
        let (log, mut from) = (self.server.log(), 0);
        let machine = self.machine.replacement(self.chance.u64(..));
        let backend = machine.open().expect("a new machine has a log");
        for end in self.server.batch_ends().into_iter().filter(|end| *end <= len) {
            let push = Push::new(None, GlobalSeq(from as u64), None, log[from..end].to_vec());
            backend.push(push).await.expect("a copy of a log is taken");
            from = end;
        }
        self.server.stop();
        self.ways.end_server(false);
        self.server.truncate(from);
        self.was_replaced = true;
        self.machine = machine;
        self.server.start(backend);
        self.ways.serve(&self.server);
    }

    /// The server's disk is what it was when the last copy was made, and nobody says so.
    pub(crate) fn roll_back_backend(&mut self) {
        self.server.stop();
        self.machine.kill(false);
        match self.machine.roll_back() {
            Some(len) => {
                self.record.fault(Fault::BackendRolledBack, format_args!("to {len}"));
                self.server.truncate(len);
                self.was_replaced = true;
            }
            None => {
                // What is in doubt is decided by a start.
                self.restart_server();
                self.server.stop();
                self.machine.kill(false);
                self.record.tell(format_args!("the server's disk is copied at {}", self.server.len()));
                self.machine.back_up(self.server.len());
            }
        }
        self.restart_server();
    }

    pub(crate) fn restart_server(&self) {
        if self.server.is_up() {
            return;
        }
        match self.machine.open() {
            Ok(backend) => {
                self.record.tell("the server starts");
                self.server.start(backend);
                self.ways.serve(&self.server);
            }
            Err(error) => self.record.tell(format_args!("the server could not start: {error}")),
        }
    }
}

fn log_config(chance: &mut fastrand::Rng) -> LogConfig {
    LogConfig {
        limits: Limits { max_batch_events: chance.usize(4..=30), ..Limits::DEFAULT },
        tail_bytes: chance.usize(0..=20_000),
        clock: Clock::new(|| UnixMillis(0)),
        ..LogConfig::default()
    }
}

/// Between two things that are done.
pub(crate) fn pause(chance: &mut fastrand::Rng) -> Duration {
    let milliseconds = match chance.u32(..100) {
        0..30 => chance.u64(0..=10),
        30..70 => chance.u64(0..=400),
        70..92 => chance.u64(0..=5_000),
        _ => chance.u64(0..=90_000),
    };
    Duration::from_millis(milliseconds)
}
