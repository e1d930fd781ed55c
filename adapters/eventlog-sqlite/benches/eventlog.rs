//! Commits and reads, each beside plain SQLite with the same bytes.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use livestore_eventlog_sqlite::SqliteEventlog;
use livestore_traits::{
    Args, ClientId, CommitRef, Event, EventName, Eventlog, EventlogReader, Heads, LogCommit, Position,
    ReadLimit, SeqNum, SessionId, SessionRecord, Term,
};
use rusqlite::Connection;

const ARGS_BYTES: usize = 150;
/// The texts and numbers of an event of [`template`] in one column.
const RECORD_BYTES: usize = 182;
const LONG_LOG: u64 = 100_000;
const PAGE: usize = 1_000;

fn template() -> Event {
    Event {
        num: SeqNum::ROOT,
        name: EventName::new("v1.TodoAdded").expect("a valid name"),
        args: Args::from_value(&"x".repeat(ARGS_BYTES - 2)).expect("text is JSON"),
        client_id: ClientId::new("abc123").expect("a valid id"),
        session_id: SessionId::new("s1").expect("a valid id"),
        commit: Some(CommitRef { n: 1, index: 0 }),
        unit_end: true,
        is_own: true,
    }
}

/// As a leader commits: events and what is persisted of their session.
fn append(heads: &Heads, template: &Event, count: u64) -> LogCommit {
    let mut commit = LogCommit::new(heads);
    let mut num = heads.local;
    for _ in 0..count {
        num = num.next_synced(heads.generation);
        commit.append.push(Event { num, ..template.clone() });
    }
    let session_id = template.session_id.clone();
    commit.sessions.push(SessionRecord { session_id, persisted: num.global.0, gone: Vec::new() });
    commit
}

fn plain(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).expect("a database");
    connection
        .execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = full;
             CREATE TABLE event (global INTEGER PRIMARY KEY, record BLOB NOT NULL)",
        )
        .expect("a table");
    connection
}

fn plain_commit(connection: &mut Connection, next: &mut i64, count: u64) {
    let tx = connection.transaction().expect("a transaction");
    {
        let mut insert = tx.prepare_cached("INSERT INTO event VALUES (?, ?)").expect("a statement");
        for _ in 0..count {
            *next += 1;
            insert.execute((*next, [b'x'; RECORD_BYTES])).expect("an insert");
        }
    }
    tx.commit().expect("a commit");
}

fn commits(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    for count in [1, 100] {
        let mut group = c.benchmark_group(format!("SQLite: commit of {count}"));
        group.throughput(Throughput::Elements(count));
        let mut log = SqliteEventlog::open(dir.path().join(format!("log-{count}.sqlite"))).expect("a log");
        let reader = log.reader().expect("a reader");
        let template = template();
        group.bench_function("eventlog", |b| {
            b.iter_batched(
                || append(&reader.heads().expect("heads"), &template, count),
                |commit| log.commit(Term(1), commit).expect("a commit"),
                BatchSize::PerIteration,
            );
        });
        let mut connection = plain(&dir.path().join(format!("plain-{count}.sqlite")));
        let mut next = 0;
        group.bench_function("plain SQLite", |b| b.iter(|| plain_commit(&mut connection, &mut next, count)));
        group.finish();
    }
}

fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = SqliteEventlog::open(dir.path().join("log.sqlite")).expect("a log");
    let commit = append(&Heads::default(), &template(), LONG_LOG);
    log.commit(Term(1), commit).expect("a commit");
    let mut connection = plain(&dir.path().join("plain.sqlite"));
    plain_commit(&mut connection, &mut 0, LONG_LOG);

    let mut group = c.benchmark_group("SQLite: read of a long log");
    group.throughput(Throughput::Elements(LONG_LOG));
    group.bench_function("eventlog", |b| {
        b.iter(|| {
            let (mut after, mut seen) = (Position::ROOT, 0);
            loop {
                let page = log.read(after, ReadLimit::events(PAGE)).expect("a read");
                let Some(last) = page.last() else { break };
                after = last.num.position();
                seen += page.len() as u64;
            }
            assert_eq!(seen, LONG_LOG);
        });
    });
    group.bench_function("plain SQLite", |b| {
        b.iter(|| {
            let (mut after, mut seen) = (0_i64, 0);
            loop {
                let sql = "SELECT global, record FROM event WHERE global > ? ORDER BY global LIMIT ?";
                let mut select = connection.prepare_cached(sql).expect("a statement");
                let mut rows = select.query((after, PAGE as i64)).expect("a query");
                let before = seen;
                while let Some(row) = rows.next().expect("a row") {
                    after = row.get(0).expect("a number");
                    seen += u64::from(row.get_ref(1).expect("a record").as_blob().is_ok());
                }
                if seen == before {
                    break;
                }
            }
            assert_eq!(seen, LONG_LOG);
        });
    });
    group.finish();
}

criterion_group!(benches, commits, reads);
criterion_main!(benches);
