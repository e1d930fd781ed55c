//! What a state in SQLite costs, next to the same statements on plain SQLite.
//!
//! - `catch_up`: settled events in transactions of 1,000. With undo: the same, unsettled.
//! - `commit`: one event, one transaction, with undo.
//! - `rebase`: 1,000 pending events are undone and applied again.

#![expect(clippy::unwrap_used, reason = "a bench fails by it")]

use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use livestore_materializer_sqlite::rusqlite::Connection;
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema};
use livestore_traits::{
    Args, ClientId, Event, EventName, EventSet, GlobalSeq, MaterializeBatch, Materializer, OnFailure,
    Position, RebaseGeneration, SeqNum, SessionId, TypedEvent,
};
use tempfile::TempDir;

const PAGE: u64 = 1_000;

const TABLE: &str =
    "CREATE TABLE todos (id INTEGER PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0)";
const INSERT: &str = "INSERT INTO todos (id, text) VALUES (?1, ?2)";
const UPDATE: &str = "UPDATE todos SET done = 1 WHERE id = ?1";

#[derive(serde::Serialize, serde::Deserialize)]
struct Added {
    id: u64,
    text: String,
}

impl TypedEvent for Added {
    const NAME: &'static str = "v1.TodoAdded";
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Done {
    id: u64,
}

impl TypedEvent for Done {
    const NAME: &'static str = "v1.TodoDone";
}

fn schema() -> SqliteSchema {
    let events = EventSet::builder().event::<Added>().event::<Done>().build().unwrap();
    SqliteSchema::builder(events)
        .table(TABLE)
        .on::<Added>(|state, event, _cx| {
            state.execute(INSERT, (event.id as i64, &event.text))?;
            Ok(())
        })
        .on::<Done>(|state, event, _cx| {
            state.execute(UPDATE, [event.id as i64])?;
            Ok(())
        })
        .build()
        .unwrap()
}

fn num(number: u64) -> SeqNum {
    SeqNum::new(Position::synced(GlobalSeq(number)), RebaseGeneration(0))
}

fn text(number: u64) -> String {
    format!("{number:0>60}")
}

/// Every second event adds a row, the others change it.
fn event(number: u64) -> Event {
    let id = number.div_ceil(2);
    let (name, args) = if number % 2 == 1 {
        (Added::NAME, Args::from_value(&Added { id, text: text(id) }))
    } else {
        (Done::NAME, Args::from_value(&Done { id }))
    };
    Event {
        num: num(number),
        name: EventName::new(name).unwrap(),
        args: args.unwrap(),
        client_id: ClientId::new("client").unwrap(),
        session_id: SessionId::new("session").unwrap(),
        commit: None,
        unit_end: true,
        is_own: false,
    }
}

fn events(from: u64, count: u64) -> Vec<Event> {
    (from..from + count).map(event).collect()
}

/// A place for a database: the directory is kept as long as it is used.
struct Place(Option<TempDir>);

impl Place {
    fn new(name: &str) -> Self {
        Self((name == "file").then(|| tempfile::tempdir().unwrap()))
    }

    fn path(&self) -> Option<impl AsRef<Path> + use<>> {
        self.0.as_ref().map(|directory| directory.path().join("state.sqlite"))
    }

    fn materializer(&self) -> SqliteMaterializer {
        match self.path() {
            Some(path) => SqliteMaterializer::open(path, schema()).unwrap(),
            None => SqliteMaterializer::in_memory(schema()).unwrap(),
        }
    }

    fn plain(&self) -> Connection {
        let connection = match self.path() {
            Some(path) => Connection::open(path).unwrap(),
            None => Connection::open_in_memory().unwrap(),
        };
        connection
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
                 PRAGMA wal_autocheckpoint = 16000;",
            )
            .unwrap();
        connection.execute_batch(TABLE).unwrap();
        connection
    }
}

fn apply(materializer: &mut SqliteMaterializer, rollback_to: Option<SeqNum>, events: &[Event], settled: u64) {
    let batch = MaterializeBatch {
        base: materializer.head().unwrap(),
        rollback_to,
        events,
        settled: Position::synced(GlobalSeq(settled)),
        on_failure: OnFailure::Quarantine,
    };
    let applied = materializer.apply(batch).unwrap();
    assert!(applied.quarantined.is_empty() && applied.unknown.is_empty());
}

/// The statements of one page in a transaction; args are parsed, as any materializer must.
fn plain_page(connection: &Connection, events: &[Event]) {
    connection.prepare_cached("BEGIN").unwrap().execute(()).unwrap();
    for event in events {
        if event.name.as_str() == Added::NAME {
            let added: Added = event.args.to_value().unwrap();
            connection.prepare_cached(INSERT).unwrap().execute((added.id as i64, &added.text)).unwrap();
        } else {
            let done: Done = event.args.to_value().unwrap();
            connection.prepare_cached(UPDATE).unwrap().execute([done.id as i64]).unwrap();
        }
    }
    connection.prepare_cached("COMMIT").unwrap().execute(()).unwrap();
}

fn catch_up(criterion: &mut Criterion) {
    const PAGES: u64 = 20;
    let pages: Vec<Vec<Event>> = (0..PAGES).map(|page| events(page * PAGE + 1, PAGE)).collect();
    for place in ["memory", "file"] {
        let mut group = criterion.benchmark_group(format!("catch_up/{place}"));
        group.throughput(Throughput::Elements(PAGES * PAGE)).sample_size(10);
        group.bench_function("plain", |bench| {
            let setup = || {
                let place = Place::new(place);
                (place.plain(), place)
            };
            bench.iter_batched_ref(
                setup,
                |(connection, _)| pages.iter().for_each(|page| plain_page(connection, page)),
                BatchSize::PerIteration,
            );
        });
        for (name, settled) in [("settled", u64::MAX >> 1), ("with_undo", 0)] {
            group.bench_function(name, |bench| {
                let setup = || {
                    let place = Place::new(place);
                    (place.materializer(), place)
                };
                bench.iter_batched_ref(
                    setup,
                    |(materializer, _)| {
                        pages.iter().for_each(|page| apply(materializer, None, page, settled));
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

fn commit(criterion: &mut Criterion) {
    for place in ["memory", "file"] {
        let mut group = criterion.benchmark_group(format!("commit/{place}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("plain", |bench| {
            let place = Place::new(place);
            let (connection, mut number) = (place.plain(), 0);
            bench.iter(|| {
                number += 1;
                plain_page(&connection, &[event(number)]);
            });
        });
        group.bench_function("with_undo", |bench| {
            let place = Place::new(place);
            let (mut materializer, mut number) = (place.materializer(), 0);
            bench.iter(|| {
                number += 1;
                // At most 1,000 pending, as if the backend answered now and then.
                apply(&mut materializer, None, &[event(number)], number / 1_000 * 1_000);
            });
        });
        group.finish();
    }
}

fn rebase(criterion: &mut Criterion) {
    for place in ["memory", "file"] {
        let mut group = criterion.benchmark_group(format!("rebase_1000/{place}"));
        group.sample_size(20);
        group.bench_function("undo_and_apply", |bench| {
            let place = Place::new(place);
            let mut materializer = place.materializer();
            apply(&mut materializer, None, &events(1, PAGE), PAGE);
            let pending = events(PAGE + 1, PAGE);
            apply(&mut materializer, None, &pending, PAGE);
            bench.iter(|| apply(&mut materializer, Some(num(PAGE)), &pending, PAGE));
        });
        group.finish();
    }
}

criterion_group!(benches, catch_up, commit, rebase);
criterion_main!(benches);
