//! Commits and reads, each beside plain redb with the same bytes.

use std::ops::Bound::{Excluded, Unbounded};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use livestore_eventlog_redb::RedbEventlog;
use livestore_traits::{
    Args, ClientId, CommitRef, Event, EventName, Eventlog, EventlogReader, Heads, LogCommit, Position,
    ReadLimit, SeqNum, SessionId, SessionRecord, Term,
};
use redb::{Database, ReadableDatabase, TableDefinition};

const EVENTS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("events");
const ARGS_BYTES: usize = 150;
/// What the codec writes for an event of [`template`].
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

fn plain_commit(database: &Database, next: &mut u64, count: u64) {
    let tx = database.begin_write().expect("a transaction");
    {
        let mut table = tx.open_table(EVENTS).expect("the table");
        for _ in 0..count {
            *next += 1;
            table.insert((*next, 0), &[b'x'; RECORD_BYTES][..]).expect("an insert");
        }
    }
    tx.commit().expect("a commit");
}

fn commits(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    for count in [1, 100] {
        let mut group = c.benchmark_group(format!("redb: commit of {count}"));
        group.throughput(Throughput::Elements(count));
        let mut log = RedbEventlog::open(dir.path().join(format!("log-{count}.redb"))).expect("a log");
        let reader = log.reader().expect("a reader");
        let template = template();
        group.bench_function("eventlog", |b| {
            b.iter_batched(
                || append(&reader.heads().expect("heads"), &template, count),
                |commit| log.commit(Term(1), commit).expect("a commit"),
                BatchSize::PerIteration,
            );
        });
        let database = Database::create(dir.path().join(format!("plain-{count}.redb"))).expect("a database");
        let mut next = 0;
        group.bench_function("plain redb", |b| b.iter(|| plain_commit(&database, &mut next, count)));
        group.finish();
    }
}

fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = RedbEventlog::open(dir.path().join("log.redb")).expect("a log");
    let commit = append(&Heads::default(), &template(), LONG_LOG);
    log.commit(Term(1), commit).expect("a commit");
    let database = Database::create(dir.path().join("plain.redb")).expect("a database");
    plain_commit(&database, &mut 0, LONG_LOG);

    let mut group = c.benchmark_group("redb: read of a long log");
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
    group.bench_function("plain redb", |b| {
        b.iter(|| {
            let (mut after, mut seen) = ((0, 0), 0);
            loop {
                let tx = database.begin_read().expect("a transaction");
                let table = tx.open_table(EVENTS).expect("the table");
                let before = seen;
                for row in table.range((Excluded(after), Unbounded)).expect("a range").take(PAGE) {
                    let (key, value) = row.expect("a row");
                    after = key.value();
                    seen += u64::from(!value.value().is_empty());
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
