//! Clients race on a backend that loses power under them: what they saw before and after is still one history.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::future::ready;
use std::sync::Arc;

use async_trait::async_trait;
use fastrand::Rng;
use futures::stream::{self, StreamExt};
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_disk::{SimDisk, seeds};
use livestore_linearizability::checker::{DEFAULT_LIMIT, Timed, Verdict, check};
use livestore_linearizability::clients::{Mix, history_over};
use livestore_linearizability::log::{Explained, Log, Operation, Tally};
use livestore_traits::{
    BackendProvider, BoxStream, Capabilities, ConnectionStatus, Pull, PullError, PullMode, PullPage, Push,
    PushAck, PushError, StoreId, SyncBackend,
};
use tokio::sync::{Mutex, watch};

/// Power cuts in a history, at most.
const CUTS: u32 = 6;
/// Histories in a plain run of the tests.
const HISTORIES: u64 = 30;

/// A server whose machine loses power now and then, in the middle of a write, and that is started again.
#[derive(Clone, Debug)]
struct Machine {
    disk: SimDisk,
    power: Arc<Mutex<Power>>,
    running: watch::Sender<Running>,
}

#[derive(Debug)]
struct Power {
    rng: Rng,
    cuts_left: u32,
}

/// What runs since the last cut.
#[derive(Clone, Debug)]
struct Running {
    since: u32,
    backend: Arc<dyn SyncBackend>,
}

impl Machine {
    async fn start(seed: u64, disk_lies: bool) -> Self {
        let disk = SimDisk::new(seed);
        disk.set_lying(disk_lies);
        let (running, _) = watch::channel(Running { since: 0, backend: open(&disk).await });
        let mut power = Power { rng: Rng::with_seed(seed), cuts_left: CUTS };
        power.arm(&disk);
        Self { disk, power: Arc::new(Mutex::new(power)), running }
    }

    fn running(&self) -> Running {
        self.running.borrow().clone()
    }

    /// Starts the machine again, if it is down and nobody else has. Goes on if its caller does not wait for it.
    async fn recover(&self) {
        let this = self.clone();
        let recovery = async move {
            let mut power = this.power.lock().await;
            if this.disk.is_dead() {
                this.disk.crash();
                let since = this.running().since + 1;
                this.running.send_replace(Running { since, backend: open(&this.disk).await });
                power.arm(&this.disk);
            }
        };
        tokio::spawn(recovery).await.unwrap();
    }

    /// A pull of what runs now.
    fn pull_running(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let this = self.clone();
        let mut changes = self.running.subscribe();
        let Running { since, backend } = changes.borrow_and_update().clone();
        let mode = pull.mode;
        let pages = backend.pull(pull).map(move |page| if this.still_runs(since) { page } else { broken() });
        match mode {
            PullMode::Once => pages.boxed(),
            // One of a machine that is down would wait for ever.
            PullMode::Live => {
                let cut = async move { changes.changed().await.is_ok() };
                pages.take_until(cut).chain(stream::once(ready(broken()))).boxed()
            }
        }
    }

    /// Whether what ran then still runs: a machine that is down says nothing any more.
    fn still_runs(&self, since: u32) -> bool {
        self.running().since == since && !self.disk.is_dead()
    }
}

impl Power {
    /// Decides when the power goes next.
    fn arm(&mut self, disk: &SimDisk) {
        if self.cuts_left > 0 {
            self.cuts_left -= 1;
            disk.crash_at(self.rng.u64(5..80));
        }
    }
}

async fn open(disk: &SimDisk) -> Arc<dyn SyncBackend> {
    let backends = RedbBackends::open_device(disk.open(), RedbConfig::default()).unwrap();
    backends.open(&StoreId::new("todo").unwrap()).await.unwrap()
}

#[async_trait]
impl SyncBackend for Machine {
    fn capabilities(&self) -> Capabilities {
        self.running().backend.capabilities()
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let Running { since, backend } = self.running();
        let answer = backend.push(push).await;
        if self.still_runs(since) {
            return answer;
        }
        self.recover().await;
        Err(PushError::Unacknowledged("the connection broke".into()))
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let this = self.clone();
        let opened = async move {
            this.recover().await;
            this.pull_running(pull)
        };
        stream::once(opened).flatten().boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.running().backend.connection()
    }
}

fn broken() -> Result<PullPage, PullError> {
    Err(PullError::Offline("the connection broke".into()))
}

async fn race(seed: u64, disk_lies: bool) -> (Machine, Result<Vec<Timed<Operation>>, String>) {
    let mix = Mix::default();
    let machine = Machine::start(seed, disk_lies).await;
    let ways = (0..=mix.clients).map(|_| Arc::new(machine.clone()) as Arc<dyn SyncBackend>).collect();
    let history = history_over(ways, seed, &mix).await.map_err(|error| error.to_string());
    (machine, history)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn power_cuts_take_back_nothing_that_anybody_saw() {
    let (mut tally, mut cuts) = (Tally::default(), 0);
    let histories = seeds(HISTORIES);
    for seed in 0..histories {
        let (machine, history) = race(seed, false).await;
        let history = history.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let verdict = check::<Log>(&history, DEFAULT_LIMIT);
        let explained = Explained { history: &history, verdict: &verdict };
        assert_eq!(verdict, Verdict::Linearizable, "seed {seed}: {explained}");
        tally.count(&history);
        cuts += machine.disk.stats().crashes;
    }
    println!("{cuts} power cuts; {tally}");
    assert!(histories < HISTORIES || cuts > 2 * histories, "only {cuts} power cuts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_lies_is_noticed() {
    for seed in 0..10 {
        let noticed = match race(seed, true).await.1 {
            Err(_) => true,
            Ok(history) => matches!(check::<Log>(&history, DEFAULT_LIMIT), Verdict::Violation(_)),
        };
        if noticed {
            return;
        }
    }
    panic!("ten histories and nothing was noticed");
}
