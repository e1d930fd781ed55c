//! What a client costs, from `commit` to catching up, beside the ceilings of what it stands on.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use livestore_backend_memory::MemoryBackends;
use livestore_engine::processor::{Input, LeaderConfig};
use livestore_engine::runtime::{LeaderCore, OutwardEffect};
use livestore_engine::{Store, StoreBuilder};
use livestore_eventlog_memory::MemoryStorage;
use livestore_eventlog_redb::RedbEventlog;
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteOptions, SqliteSchema};
use livestore_server::Server;
use livestore_traits::{
    BackendProvider, ClientSecret, CommitRef, Event, EventSet, Eventlog, EventlogReader, GlobalSeq, Identity,
    LogCommit, MaterializeBatch, Materializer, NewEvent, OnFailure, PageInfo, Position, PullPage, Push,
    RebaseGeneration, SeqNum, SessionId, SessionRecord, StoreId, SyncBackend, SyncedEvent, Term, TypedEvent,
};
use livestore_transport_ws::{WsBackend, WsConfig};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// About 200 bytes as JSON, like the events of the ceilings.
#[derive(Serialize, Deserialize)]
struct Added {
    id: u64,
    text: String,
}

impl TypedEvent for Added {
    const NAME: &'static str = "v1.Added";
}

fn added(id: u64) -> NewEvent {
    NewEvent::from(&Added { id, text: "x".repeat(120) }).expect("good args")
}

fn schema() -> SqliteSchema {
    SqliteSchema::builder(EventSet::builder().event::<Added>().build().expect("good events"))
        .table("CREATE TABLE items (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        .on::<Added>(|state, event, _| {
            state.execute("INSERT OR REPLACE INTO items VALUES (?1, ?2)", (event.id as i64, &event.text))?;
            Ok(())
        })
        .build()
        .expect("a good schema")
}

fn store_id() -> StoreId {
    StoreId::new("bench").expect("a good store id")
}

/// A store with a redb log in `dir`; states in memory, or in files in `dir`.
fn durable(dir: &Path, in_files: bool) -> StoreBuilder {
    let state = if in_files {
        SqliteOptions::new().forks_in(dir).open(dir.join("state.sqlite"), schema())
    } else {
        SqliteMaterializer::in_memory(schema())
    };
    Store::builder(store_id())
        .eventlog(RedbEventlog::open(dir.join("log.redb")).expect("a new log"))
        .materializer(state.expect("a new state"))
}

/// `events` of another client, confirmed or pending as the heads say.
fn events(own: bool, from: u64, count: u64) -> Vec<Event> {
    (from..from + count)
        .map(|n| {
            let event = added(n);
            Event {
                num: SeqNum::new(Position::synced(GlobalSeq(n)), RebaseGeneration(0)),
                name: event.name,
                args: event.args,
                client_id: "client".parse().expect("a good id"),
                session_id: "session".parse().expect("a good id"),
                commit: Some(CommitRef { n, index: 0 }),
                unit_end: true,
                is_own: own,
            }
        })
        .collect()
}

/// A log with `count` pending events in it.
fn fill(dir: &Path, count: u64) {
    let mut log = RedbEventlog::open(dir.join("log.redb")).expect("a new log");
    let mut heads = log.heads().expect("heads");
    let mut at = 1;
    while at <= count {
        let append = events(true, at, 1000.min(count + 1 - at));
        at += append.len() as u64;
        let session_id: SessionId = "session".parse().expect("a good id");
        let sessions = vec![SessionRecord { persisted: at - 1, ..SessionRecord::new(session_id) }];
        heads =
            log.commit(Term(1), LogCommit { append, sessions, ..LogCommit::new(&heads) }).expect("a commit");
    }
}

fn commit(criterion: &mut Criterion) {
    // As a program would run it that waits for its own commits: its sessions live on its own thread.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("commit");
    for (name, in_files) in [("state in memory", false), ("state in a file", true)] {
        let dir = TempDir::new().expect("a directory");
        let store = runtime.block_on(durable(dir.path(), in_files).start()).expect("a store");
        let mut n = 0;
        group.bench_function(format!("returns, {name}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    n += 1;
                    let event = added(n);
                    let start = Instant::now();
                    let receipt = store.commit([event]).expect("a commit");
                    spent += start.elapsed();
                    runtime.block_on(receipt.persisted()).expect("persisted");
                }
                spent
            });
        });
        group.bench_function(format!("persisted, {name}"), |bencher| {
            bencher.iter(|| {
                n += 1;
                let receipt = store.commit([added(n)]).expect("a commit");
                runtime.block_on(receipt.persisted()).expect("persisted");
            });
        });
    }
    let dir = TempDir::new().expect("a directory");
    let mut log = RedbEventlog::open(dir.path().join("log.redb")).expect("a new log");
    let mut heads = log.heads().expect("heads");
    group.bench_function("ceiling: one commit of the log", |bencher| {
        bencher.iter(|| {
            let append = events(true, heads.local.global.0 + 1, 1);
            heads = log.commit(Term(1), LogCommit { append, ..LogCommit::new(&heads) }).expect("a commit");
        });
    });
    let mut state = SqliteMaterializer::in_memory(schema()).expect("a state");
    group.bench_function("ceiling: one transaction of the state in memory", |bencher| {
        bencher.iter(|| {
            let base = state.head().expect("a head");
            let events = events(true, base.global.0 + 1, 1);
            let batch = MaterializeBatch {
                base,
                rollback_to: None,
                events: &events,
                settled: base.position(),
                on_failure: OnFailure::Refuse,
            };
            black_box(state.apply(batch).expect("applied"));
        });
    });
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    let dir = TempDir::new().expect("a directory");
    fill(dir.path(), 20_000);
    runtime.block_on(async {
        let store = durable(dir.path(), true).start().await.expect("a store");
        store.shutdown(Duration::from_secs(10)).await.expect("a shutdown");
    });
    group.bench_function("20,000 pending, log and state in files", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                let start = Instant::now();
                let store = runtime.block_on(durable(dir.path(), true).start()).expect("a store");
                spent += start.elapsed();
                runtime.block_on(store.shutdown(Duration::from_secs(10))).expect("a shutdown");
            }
            spent
        });
    });
    group.finish();
}

/// A server in this process with `count` events in its store.
async fn server(count: u64) -> Server {
    let backends = MemoryBackends::new();
    let backend = backends.open(&store_id()).await.expect("a backend");
    push(&*backend, 0, count).await;
    // The provider only keeps a store while somebody has it open.
    std::mem::forget(backend);
    Server::builder(backends).bind("127.0.0.1:0").await.expect("a server")
}

async fn push(backend: &dyn SyncBackend, after: u64, count: u64) {
    let mut parent = after;
    while parent < after + count {
        let batch = events(false, parent + 1, 100.min(after + count - parent));
        let batch: Vec<SyncedEvent> = batch.into_iter().map(synced).collect();
        let len = batch.len() as u64;
        backend.push(Push::new(None, GlobalSeq(parent), None, batch)).await.expect("pushed");
        parent += len;
    }
}

fn catch_up(criterion: &mut Criterion) {
    const EVENTS: u64 = 100_000;
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(server(EVENTS));
    let url = format!("ws://{}", server.local_addr());
    let mut group = criterion.benchmark_group("catch-up of 100,000 events over WebSocket");
    group.sample_size(10).throughput(Throughput::Elements(EVENTS));
    for (name, in_files) in [("memory", false), ("files", true)] {
        group.bench_function(format!("log and state in {name}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let dir = TempDir::new().expect("a directory");
                    let upstream = WsBackend::new(WsConfig::new(&url, store_id()).expect("a good url"));
                    let builder = if in_files {
                        durable(dir.path(), true)
                    } else {
                        Store::builder(store_id())
                            .eventlog(MemoryStorage::default().open())
                            .materializer(SqliteMaterializer::in_memory(schema()).expect("a state"))
                    };
                    spent += runtime.block_on(async {
                        let start = Instant::now();
                        let store = builder.upstream(upstream).start().await.expect("a store");
                        let head = |head: SeqNum| head.global.0 == EVENTS;
                        store
                            .watch_status()
                            .wait_for(|status| head(status.settled_head))
                            .await
                            .expect("synced");
                        store.wait_for(|status| head(status.settled_head)).await.expect("synced");
                        start.elapsed()
                    });
                }
                spent
            });
        });
    }
    group.finish();
}

/// One foreign event under 1,000 pending ones: log and state in memory, on this thread.
fn rebase(criterion: &mut Criterion) {
    let foreign = Event { args: added(0).args, commit: None, ..events(false, 1, 1).remove(0) };
    criterion.bench_function("rebase of 1,000 pending, log and state in memory", |bencher| {
        bencher.iter_batched(
            || {
                let mut log = MemoryStorage::default().open();
                let heads = log.heads().expect("heads");
                let append = events(true, 1, 1000);
                log.commit(Term(1), LogCommit { append, ..LogCommit::new(&heads) }).expect("a commit");
                let state = SqliteMaterializer::in_memory(schema()).expect("a state");
                let now = Instant::now();
                let identity =
                    || Identity { client_id: "mine".parse().expect("an id"), secret: ClientSecret([0; 16]) };
                let (config, ignore) = (LeaderConfig::default(), &mut |_| {});
                let mut leader = LeaderCore::open(
                    Box::new(log),
                    Box::new(state),
                    Term(2),
                    config,
                    now,
                    true,
                    identity,
                    ignore,
                )
                .expect("a leader");
                let mut pull = None;
                while let Some(effect) = leader.poll(now).expect("effects") {
                    if let OutwardEffect::StartPull(id, _) = effect {
                        pull = Some(id);
                    }
                }
                (leader, now, pull.expect("a pull"), page(foreign.clone()))
            },
            |(mut leader, now, pull, page)| {
                leader.handle(now, Input::Page(pull, page));
                while let Some(effect) = leader.poll(now).expect("effects") {
                    black_box(effect);
                }
                leader
            },
            BatchSize::PerIteration,
        );
    });
}

fn page(event: Event) -> PullPage {
    let backend_id = "backend".parse().expect("an id");
    PullPage::new(GlobalSeq::ROOT, [synced(event)].into(), None, backend_id, PageInfo::CaughtUp)
}

fn synced(event: Event) -> SyncedEvent {
    SyncedEvent {
        seq: event.num.global,
        parent: event.parent().global,
        name: event.name,
        args: event.args,
        client_id: event.client_id,
        session_id: event.session_id,
        commit: event.commit,
        unit_end: event.unit_end,
        created_at: None,
    }
}

/// Short: the machine is small and noisy.
fn config() -> Criterion {
    Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = config(); targets = commit, open, catch_up, rebase }
criterion_main!(benches);
