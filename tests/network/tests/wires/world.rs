//! One run: a server, its clients, and faults for a while; then everything has to come together.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use futures::StreamExt;
use livestore_backend_memory::{Clock, LogConfig, MemoryBackends};
use livestore_connect::Connect;
use livestore_server::Server;
use livestore_sim_network::{Count, Crash, SimNetwork};
use livestore_traits::{BackendProvider, Cursor, Pull, PullMode, StoreId, SyncedEvent, UnixMillis};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Wires;
use crate::app::{App, Plan, Report};

const SERVER: &str = "server";
const CLIENTS: [&str; 3] = ["ada", "bob", "cyd"];
/// How long faults come, how long clients go on pushing after the last one, and how long they have to come together.
const FAULTY: Duration = Duration::from_secs(1_200);
const SOUND: Duration = Duration::from_secs(240);
const QUIET: Duration = Duration::from_secs(60);
/// How long after the last fault a push and a page may take: a lost request is given up after 30 seconds, a long poll
/// after 55, connecting after 10, and the next attempt comes at most 20 seconds later.
const RECOVERY: Duration = Duration::from_secs(120);

/// What a run left to compare.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) trace: Vec<String>,
    pub(crate) digest: u64,
    pub(crate) counts: BTreeMap<Count, u64>,
}

pub(crate) struct World {
    network: SimNetwork,
    stores: MemoryBackends,
    random: Rng,
    trace: Vec<String>,
}

impl World {
    /// A run with one client for each of `wires`.
    pub(crate) fn run(wires: Wires, seed: u64) -> Run {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            fastrand::seed(seed);
            Self::new(seed).live(wires, seed).await
        })
    }

    fn new(seed: u64) -> Self {
        let began = Instant::now();
        let clock = Clock::new(move || UnixMillis(1_000_000_000_000 + began.elapsed().as_millis() as u64));
        let config = LogConfig { clock, ..LogConfig::default() };
        Self {
            network: SimNetwork::new(seed),
            stores: MemoryBackends::with_config(config),
            random: Rng::with_seed(seed),
            trace: Vec::new(),
        }
    }

    async fn live(mut self, wires: Wires, seed: u64) -> Run {
        self.serve();
        let began = Instant::now();
        let (healed, last_event) = (began + FAULTY, began + FAULTY + SOUND);
        let plan = Plan { healed, last_event, end: last_event + QUIET };
        let apps = [0, 1, 2].map(|index| {
            let name = CLIENTS[index];
            let way = Connect::to(wires[index].url(SERVER), store()).connector(self.network.connector(name));
            let backend = way.backend().unwrap();
            tokio::spawn(App::new(name.to_owned(), backend, plan, self.random.fork()).run())
        });
        self.harm(began, healed).await;
        let mut reports = Vec::new();
        for app in apps {
            reports.push(app.await.unwrap());
        }
        let log = log_of(&self.stores).await;
        for (name, report) in CLIENTS.into_iter().zip(&reports) {
            check(name, report, &log, &format!("{wires:?}, seed {seed}"));
        }
        let traces = reports.into_iter().flat_map(|report| report.trace);
        let trace = self.trace.into_iter().chain(traces).collect();
        Run { trace, digest: self.network.digest(), counts: self.network.counts() }
    }

    fn serve(&self) {
        self.network.serve(SERVER, Server::builder(self.stores.clone()).into_service());
    }

    /// One fault after the other; in the end everything is sound.
    async fn harm(&mut self, began: Instant, until: Instant) {
        loop {
            let at = Instant::now() + Duration::from_millis(self.random.u64(..30_000));
            if at >= until {
                break;
            }
            sleep_until(at).await;
            if self.random.u32(..8) == 0 {
                let how = if self.random.bool() { Crash::Process } else { Crash::Machine };
                self.network.crash(SERVER, how);
                self.note(began, &format!("the server is gone: {how:?}"));
                sleep(Duration::from_millis(self.random.u64(..20_000))).await;
                self.serve();
                continue;
            }
            let victim = CLIENTS[self.random.usize(..CLIENTS.len())];
            let fault = self.network.strike(victim, SERVER);
            self.note(began, &format!("{victim} suffers {fault:?}"));
            sleep(Duration::from_millis(self.random.u64(..60_000))).await;
            if self.random.bool() {
                self.network.heal(victim, SERVER);
                self.note(began, &format!("{victim} is healed"));
            }
        }
        sleep_until(until).await;
        self.network.heal_all();
    }

    fn note(&mut self, began: Instant, what: &str) {
        self.trace.push(format!("{} {what}", began.elapsed().as_millis()));
    }
}

/// What must hold in the end.
fn check(name: &str, report: &Report, log: &[SyncedEvent], run: &str) {
    let Report { trace, first_ack, first_page, pushed, .. } = report;
    let tail = || trace[trace.len().saturating_sub(30)..].join("\n");
    assert!(first_ack.is_some_and(|after| after < RECOVERY), "{run}: {name} pushes in vain\n{}", tail());
    assert!(first_page.is_some_and(|after| after < RECOVERY), "{run}: {name} follows in vain\n{}", tail());
    assert_eq!(report.log, log, "{run}: {name} has another log\n{}", tail());
    // Each of its events is there once, in the order in which they were made.
    let own = log.iter().filter(|event| event.client_id.as_str() == name);
    let numbers: Vec<_> = own.map(|event| event.args.as_str().to_owned()).collect();
    let expected: Vec<_> = (0..*pushed).map(|n| format!(r#"{{"by":"{name}","n":{n}}}"#)).collect();
    assert_eq!(numbers, expected, "{run}: {name}");
}

fn store() -> StoreId {
    StoreId::new("todo").unwrap()
}

/// The log as the server has it.
async fn log_of(stores: &MemoryBackends) -> Vec<SyncedEvent> {
    let backend = stores.open(&store()).await.unwrap();
    let pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    pages.flat_map(|page| futures::stream::iter(page.unwrap().events.to_vec())).collect().await
}
