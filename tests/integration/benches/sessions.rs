//! What sessions of one process cost: how soon one shows what another commits, how fast one follows, what a late one
//! waits for, and what each keeps in memory. Beside each figure the ceiling of what it stands on.
//!
//! Across processes it is measured where the local transport is.

use std::time::{Duration, Instant};

use livestore_engine::{Session, Store, StoreBuilder};
use livestore_eventlog_memory::MemoryStorage;
use livestore_eventlog_redb::RedbEventlog;
use livestore_leader_memory::{MemoryElection, MemoryRendezvous};
use livestore_materializer_memory::MemorySchema;
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema};
use livestore_traits::{
    Event, EventSet, EventlogReader, MaterializeBatch, MaterializeError, Materializer, MaterializerSource,
    NewEvent, OnFailure, Position, ReadLimit, StoreId, TypedEvent,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Events that a session follows, and that a late one catches up with.
const FOLLOWED: u64 = 100_000;

/// Events of one commit, and of one batch beside it.
const UNIT: u64 = 100;

#[derive(Serialize, Deserialize)]
struct Added {
    id: u64,
    text: String,
}

impl TypedEvent for Added {
    const NAME: &'static str = "v1.Added";
}

fn added(id: u64, bytes: usize) -> NewEvent {
    NewEvent::from(&Added { id, text: "x".repeat(bytes) }).expect("good args")
}

fn events() -> EventSet {
    EventSet::builder().event::<Added>().build().expect("good events")
}

fn in_memory() -> MemorySchema<Vec<(u64, String)>> {
    MemorySchema::builder(events())
        .on::<Added>(|rows: &mut Vec<(u64, String)>, event, _| {
            rows.push((event.id, event.text));
            Ok(())
        })
        .build()
        .expect("a good schema")
}

/// States in SQLite, all of them in memory.
#[derive(Clone, Debug)]
struct Sqlite(SqliteSchema);

impl Sqlite {
    fn new() -> Self {
        let schema = SqliteSchema::builder(events())
            .table("CREATE TABLE items (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
            .on::<Added>(|state, event, _| {
                state.execute(
                    "INSERT OR REPLACE INTO items VALUES (?1, ?2)",
                    (event.id as i64, &event.text),
                )?;
                Ok(())
            })
            .build();
        Self(schema.expect("a good schema"))
    }
}

impl MaterializerSource for Sqlite {
    fn open(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        self.scratch()
    }

    fn scratch(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        Ok(Box::new(SqliteMaterializer::in_memory(self.0.clone())?))
    }
}

/// A client that several stores of this process share.
struct Client<S> {
    storage: MemoryStorage,
    election: MemoryElection,
    rendezvous: MemoryRendezvous,
    states: S,
}

impl<S: MaterializerSource + Clone> Client<S> {
    fn new(states: S) -> Self {
        let (election, rendezvous) = (MemoryElection::new(), MemoryRendezvous::new());
        Self { storage: MemoryStorage::default(), election, rendezvous, states }
    }

    fn builder(&self) -> StoreBuilder {
        Store::builder(StoreId::new("bench").expect("a good store id"))
            .election(self.election.clone())
            .rendezvous(self.rendezvous.clone())
            .states(self.states.clone())
    }

    async fn join(&self) -> Store {
        let storage = self.storage.clone();
        self.builder().open_eventlog(move || Ok(storage.open())).start().await.expect("a store")
    }
}

fn threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn report(what: &str, figure: impl std::fmt::Display) {
    println!("{what:<72} {figure}");
}

fn per_second(count: u64, took: Duration) -> String {
    format!("{:.0} events/s", count as f64 / took.as_secs_f64())
}

/// From the commit in one session until the other shows it.
async fn visible(what: &str, from: &Session, to: &Session) {
    let mut times = Vec::new();
    for n in 0..2200 {
        let event = added(n, 120);
        let start = Instant::now();
        let receipt = from.commit([event]).expect("a commit");
        let shows = to.wait_for(|session| session.local_head.position() >= receipt.num.position());
        shows.await.expect("a session that lives");
        if n >= 200 {
            times.push(start.elapsed());
        }
    }
    times.sort();
    let at = |share: usize| times[times.len() * share / 100];
    report(what, format_args!("p50 {:?}  p99 {:?}", at(50), at(99)));
}

async fn visibility() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("log.redb");
    for durable in [false, true] {
        let (client, path) = (Client::new(Sqlite::new()), path.clone());
        let first = match durable {
            true => client.builder().open_eventlog(move || RedbEventlog::open(&path)).start().await,
            false => Ok(client.join().await),
        };
        let first = first.expect("a store");
        // It never leads, so its log is never opened.
        let second = client.join().await;
        let near = first.open_session(Default::default()).await.expect("a session");
        let log = if durable { "log in redb" } else { "log in memory" };
        visible(&format!("visible in a session of the same store, {log}"), first.session(), &near).await;
        visible(&format!("visible in another store of the process, {log}"), first.session(), &second).await;
        visible(&format!("committed there, visible in the leading one, {log}"), &second, first.session())
            .await;
    }
}

fn all_events(log: &impl EventlogReader) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(Position::ROOT, |event| event.num.position());
        let page = log.read(after, ReadLimit::events(1000)).expect("a log that can be read");
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

/// A store whose runtime stands still while others commit; then it catches up.
fn following<S: MaterializerSource + Clone>(name: &str, states: S) {
    let runtime = threads();
    let client = Client::new(states);
    let leads = runtime.block_on(client.join());
    let frozen = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let follows = frozen.block_on(client.join());
    let start = Instant::now();
    runtime.block_on(async {
        let units = (0..FOLLOWED / UNIT).map(|unit| unit * UNIT..(unit + 1) * UNIT);
        let mut last = None;
        for unit in units {
            last = Some(leads.commit(unit.map(|id| added(id, 120))).expect("a commit"));
        }
        last.expect("a commit").persisted().await.expect("persisted");
    });
    report(&format!("committed and persisted by a session, {name}"), per_second(FOLLOWED, start.elapsed()));
    let start = Instant::now();
    let caught_up = follows.wait_for(|session| session.local_head.global.0 == FOLLOWED);
    frozen.block_on(caught_up).expect("a session that lives");
    let took = start.elapsed();
    report(&format!("a late session catches up with {FOLLOWED} events, {name}"), format_args!("{took:?}"));
    report(&format!("a session follows, {name}"), per_second(FOLLOWED, took));
    apply_ceiling(name, &client);
}

/// The same events in the same batches, straight into a state.
fn apply_ceiling<S: MaterializerSource>(name: &str, client: &Client<S>) {
    let events = all_events(&client.storage.open());
    let mut state = client.states.scratch().expect("a state");
    let start = Instant::now();
    for batch in events.chunks(512) {
        let base = state.head().expect("a head");
        let settled = Position::ROOT;
        let on_failure = OnFailure::Quarantine;
        let batch = MaterializeBatch { base, rollback_to: None, events: batch, settled, on_failure };
        state.apply(batch).expect("applied");
    }
    let took = start.elapsed();
    report(&format!("  ceiling: applied in batches of 512, {name}"), per_second(FOLLOWED, took));
}

/// A session on a state of 100 MB.
async fn large_state() {
    const ROWS: u64 = 10_000;
    let client = Client::new(Sqlite::new());
    let store = client.join().await;
    for unit in 0..ROWS / 50 {
        let rows = (0..50).map(|row| added(unit * 50 + row, 10_000));
        store.commit(rows).expect("a commit").persisted().await.expect("persisted");
    }
    let start = Instant::now();
    let session = store.open_session(Default::default()).await.expect("a session");
    report("a session starts from 100 MB of SQLite, same store", format_args!("{:?}", start.elapsed()));
    drop(session);
    let start = Instant::now();
    let second = client.join().await;
    report("a store starts from 100 MB of SQLite, and follows", format_args!("{:?}", start.elapsed()));
    drop((store, second));

    let mut state = client.states.scratch().expect("a state");
    for batch in all_events(&client.storage.open()).chunks(512) {
        let (base, on_failure) = (state.head().expect("a head"), OnFailure::Quarantine);
        let settled = base.position();
        let batch = MaterializeBatch { base, rollback_to: None, events: batch, settled, on_failure };
        state.apply(batch).expect("applied");
    }
    let mut copy = client.states.scratch().expect("a state");
    let start = Instant::now();
    let snapshot = state.snapshot().expect("a snapshot");
    let (len, made) = (snapshot.len, start.elapsed());
    copy.restore(snapshot).expect("restored");
    let restored = start.elapsed() - made;
    report("  ceiling: snapshot and restore", format_args!("{made:?} + {restored:?} for {len} bytes"));
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line of it");
    let kilobytes = line.split_whitespace().nth(1).expect("a number");
    kilobytes.parse::<u64>().expect("a number") * 1024
}

async fn memory<S: MaterializerSource + Clone>(name: &str, states: S) {
    const SESSIONS: u64 = 100;
    let client = Client::new(states);
    let store = client.join().await;
    store.commit((0..10).map(|id| added(id, 120))).expect("a commit").persisted().await.expect("persisted");
    // What the first one brings along is not counted.
    let _first = store.open_session(Default::default()).await.expect("a session");
    let before = resident();
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(store.open_session(Default::default()).await.expect("a session"));
    }
    let each = (resident() - before) / SESSIONS;
    report(&format!("memory per attached session, {name}"), format_args!("{} KB", each / 1024));
    let before = resident();
    let states: Vec<_> = (0..SESSIONS).map(|_| client.states.scratch().expect("a state")).collect();
    let each = (resident() - before) / SESSIONS;
    report(&format!("  ceiling: an empty state, {name}"), format_args!("{} KB", each / 1024));
    drop(states);
}

fn main() {
    // `cargo test --benches` only wants to know that it can be run.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    // First, while nothing was freed that sessions could reuse.
    threads().block_on(memory("SQLite in memory", Sqlite::new()));
    threads().block_on(memory("memory", in_memory()));
    threads().block_on(visibility());
    following("SQLite in memory", Sqlite::new());
    following("memory", in_memory());
    threads().block_on(large_state());
}
