//! Durable pushes and pulls of every backend, each next to what its storage does with the same bytes and no backend
//! around it. Run with `TMPDIR` on the disk that matters.

#![expect(clippy::unwrap_used, reason = "a bench has nobody to tell")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt;
use futures::future::join_all;
use livestore_backend_memory::MemoryBackends;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_backend_sqlite::{SqliteBackends, SqliteConfig};
use livestore_conformance::backend::sample_event;
use livestore_traits::{
    BackendProvider, Cursor, GlobalSeq, Pull, PullMode, Push, StoreId, SyncBackend, SyncedEvent,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// With the names and numbers beside it, a record of 204 bytes.
const ARGS_BYTES: usize = 164;
const RECORD: [u8; 204] = [b'x'; 204];
const STORES: usize = 64;
const LOG_EVENTS: u64 = 100_000;

fn events(parent: GlobalSeq, count: usize) -> Vec<SyncedEvent> {
    let args = format!("\"{}\"", "x".repeat(ARGS_BYTES - 2));
    (0..count as u64).map(|index| sample_event("client", GlobalSeq(parent.0 + index), &args)).collect()
}

fn backends() -> Vec<(&'static str, TempDir, Arc<dyn BackendProvider>)> {
    let dir = || TempDir::new().unwrap();
    let (redb, sqlite) = (dir(), dir());
    let redb_backends = RedbBackends::open(redb.path(), RedbConfig::default()).unwrap();
    let sqlite_backends = SqliteBackends::open(sqlite.path(), SqliteConfig::default()).unwrap();
    vec![
        ("memory", dir(), Arc::new(MemoryBackends::new())),
        ("redb", redb, Arc::new(redb_backends)),
        ("sqlite", sqlite, Arc::new(sqlite_backends)),
    ]
}

/// Opens a store that no other measurement uses.
async fn new_store(provider: &dyn BackendProvider) -> Arc<dyn SyncBackend> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = format!("store-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    provider.open(&StoreId::new(id).unwrap()).await.unwrap()
}

/// The time of `rounds` pushes of `batch` events, one after the other.
async fn push_rounds(backend: Arc<dyn SyncBackend>, rounds: u64, batch: usize) -> Duration {
    let batches: Vec<_> = (0..rounds).map(|round| events(GlobalSeq(round * batch as u64), batch)).collect();
    let start = Instant::now();
    for events in batches {
        let parent = events[0].parent;
        backend.push(Push::new(None, parent, None, events)).await.unwrap();
    }
    start.elapsed()
}

/// What the storages do by themselves: transactions of `rows` records.
enum Plain {
    Redb(redb::Database),
    Sqlite(rusqlite::Connection),
}

const TABLE: redb::TableDefinition<'_, (u32, u64), &[u8]> = redb::TableDefinition::new("events");

impl Plain {
    fn all(dir: &TempDir) -> [(&'static str, Self); 2] {
        let redb = redb::Database::create(dir.path().join("plain.redb")).unwrap();
        let sqlite = rusqlite::Connection::open(dir.path().join("plain.sqlite")).unwrap();
        let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE events (log INTEGER, seq INTEGER, record BLOB, PRIMARY KEY (log, seq)) WITHOUT ROWID;";
        sqlite.execute_batch(schema).unwrap();
        [("plain redb", Self::Redb(redb)), ("plain sqlite", Self::Sqlite(sqlite))]
    }

    fn commit(&mut self, first: u64, rows: u64) {
        match self {
            Self::Redb(database) => {
                let txn = database.begin_write().unwrap();
                let mut table = txn.open_table(TABLE).unwrap();
                for seq in first..first + rows {
                    table.insert((0, seq), RECORD.as_slice()).unwrap();
                }
                drop(table);
                txn.commit().unwrap();
            }
            Self::Sqlite(connection) => {
                let txn = connection.transaction().unwrap();
                let mut insert = txn.prepare_cached("INSERT INTO events VALUES (0, ?1, ?2)").unwrap();
                for seq in first..first + rows {
                    insert.execute((seq as i64, RECORD)).unwrap();
                }
                drop(insert);
                txn.commit().unwrap();
            }
        }
    }
}

fn push(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    for batch in [1, 100] {
        let mut group = criterion.benchmark_group(format!("push, 1 client, batches of {batch}"));
        group.throughput(Throughput::Elements(batch as u64));
        plain_commits(&mut group, batch as u64);
        for (name, _dir, provider) in backends() {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|rounds| {
                    runtime.block_on(async {
                        let backend = new_store(&*provider).await;
                        tokio::spawn(push_rounds(backend, rounds, batch)).await.unwrap()
                    })
                });
            });
        }
    }
    let mut group = criterion.benchmark_group(format!("push, {STORES} clients on as many stores"));
    group.throughput(Throughput::Elements(STORES as u64));
    plain_commits(&mut group, STORES as u64);
    for (name, _dir, provider) in backends() {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let stores = join_all((0..STORES).map(|_| new_store(&*provider))).await;
                    let clients = stores.into_iter().map(|store| tokio::spawn(push_rounds(store, rounds, 1)));
                    let times = join_all(clients).await;
                    times.into_iter().map(|time| time.unwrap()).max().unwrap()
                })
            });
        });
    }
}

fn plain_commits(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>, rows: u64) {
    let dir = TempDir::new().unwrap();
    for (name, mut plain) in Plain::all(&dir) {
        let mut next = 1;
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                plain.commit(next, rows);
                next += rows;
            });
        });
    }
}

fn pull(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("pull, pages of 100");
    group.throughput(Throughput::Elements(LOG_EVENTS));
    for (name, _dir, provider) in backends() {
        let backend = runtime.block_on(async {
            let backend = new_store(&*provider).await;
            push_rounds(backend.clone(), LOG_EVENTS / 100, 100).await;
            backend
        });
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                let pull = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
                let count = pull.fold(0, |sum, page| async move { sum + page.unwrap().events.len() as u64 });
                let count = runtime.block_on(async { tokio::spawn(count).await.unwrap() });
                assert_eq!(count, LOG_EVENTS);
            });
        });
    }
}

/// The memory of open, idle stores, which is no matter of time: printed once.
fn idle_stores(_: &mut Criterion) {
    const COUNT: usize = 10_000;
    let runtime = Runtime::new().unwrap();
    for (name, _dir, provider) in backends() {
        let before = resident_bytes();
        let stores = runtime.block_on(join_all((0..COUNT).map(|_| new_store(&*provider))));
        let bytes = resident_bytes().saturating_sub(before) / stores.len();
        println!("{name}: {bytes} bytes resident per open idle store of {COUNT}");
    }
}

/// Linux only; elsewhere 0.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) * 1024
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = config(); targets = idle_stores, push, pull }
criterion_main!(benches);
