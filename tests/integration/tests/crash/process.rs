//! A process with a log in redb and a state in SQLite aborts between two durable steps; the next one goes on.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_engine::Store;
use livestore_eventlog_redb::RedbEventlog;
use livestore_integration::wrap::{Fuse, Passing, Point};
use livestore_integration::{draft, line};
use livestore_materializer_sqlite::SqliteMaterializer;
use livestore_traits::{
    BackendProvider as _, ClientId, Cursor, Event, EventlogReader as _, GlobalSeq, Position, Pull, PullMode,
    Push, ReadLimit, SessionId, StoreId, SyncBackend, SyncedEvent,
};

use crate::schema::{lines, lines_of, replay, schema};

/// Tells [`child`] where to work, how often it passes which point before it aborts, and which run it is; without it
/// that test does nothing.
const VARIABLE: &str = "LIVESTORE_TEST_CRASH";

fn store_id() -> StoreId {
    StoreId::new("notebook").expect("a good store id")
}

async fn open_backend(dir: &Path) -> Arc<dyn SyncBackend> {
    let backends = RedbBackends::open(dir.join("backend"), RedbConfig::default()).expect("a backend");
    backends.open(&store_id()).await.expect("a store in it")
}

async fn open(dir: &Path, backend: Arc<dyn SyncBackend>, fuse: Fuse) -> Store {
    let log = RedbEventlog::open(dir.join("eventlog.redb")).expect("a log");
    let state = SqliteMaterializer::open(dir.join("state.sqlite"), schema()).expect("a state");
    Store::builder(store_id())
        .eventlog(Passing(log, fuse.clone()))
        .materializer(Passing(state, fuse.clone()))
        .upstream(Passing(backend, fuse))
        .session_id(SessionId::new("window").expect("a good id"))
        .start()
        .await
        .expect("a store that was closed by a crash opens")
}

/// Somebody else writes at the same time, so that what is pending is rebased.
async fn write_as_another(backend: &dyn SyncBackend, text: &str) {
    loop {
        let pages: Vec<_> = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once)).collect().await;
        let head =
            pages.last().and_then(|page| page.as_ref().ok()).map_or(GlobalSeq::ROOT, |page| page.through);
        let event = line(text);
        let event = SyncedEvent {
            seq: head.next(),
            parent: head,
            name: event.name,
            args: event.args,
            client_id: ClientId::new("other").expect("a good id"),
            session_id: SessionId::new("other").expect("a good id"),
            commit: None,
            unit_end: true,
            created_at: None,
        };
        if backend.push(Push::new(None, head, None, vec![event])).await.is_ok() {
            return;
        }
    }
}

/// Not a case: the process that the cases below start. It says what is persisted, and then aborts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(told) = std::env::var(VARIABLE) else { return };
    let words: Vec<&str> = told.split('|').collect();
    let (dir, point, run) = (Path::new(words[0]), words[1].to_owned(), words[3]);
    let left = AtomicU64::new(words[2].parse().expect("a count"));
    let fuse = Fuse(Arc::new(move |passed: Point| {
        if format!("{passed:?}") == point && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
        Ok(())
    }));
    let backend = open_backend(dir).await;
    let store = open(dir, backend.clone(), fuse).await;
    // Far more than it takes to come to the point, however pushes and pages fall together.
    for round in 0..1000 {
        let mine = store.commit([line(format!("{run}.{round}a")), draft(format!("{run}.{round}b"))]);
        let mine = mine.expect("a good commit");
        write_as_another(&*backend, &format!("{run}.{round}x")).await;
        if mine.persisted().await.is_ok() {
            say(&format!("persisted {run}.{round}\n"));
        }
    }
    store.synced().await.expect("a store that runs");
    say("survived\n");
}

/// In one write, so that the process cannot die within a line.
fn say(line: &str) {
    std::io::stderr().write_all(line.as_bytes()).expect("somebody listens");
}

/// Runs [`child`] until it dies, and returns what it said.
fn run_child(dir: &Path, point: Point, count: u64, run: &str) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect("a test has a file"))
        .args(["process::child", "--exact", "--nocapture"])
        .env(VARIABLE, format!("{}|{point:?}|{count}|{run}", dir.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process can be started");
    let said = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok).collect();
    child.wait().expect("it ends");
    said
}

/// Crashes at `point`, after it was passed once, twice, three times … over one set of files; then all must be there.
#[expect(clippy::unwrap_used, reason = "it is the body of the tests below")]
async fn survives(point: Point, counts: &[u64]) {
    let dir = tempfile::tempdir().unwrap();
    let mut persisted = BTreeSet::new();
    for count in counts {
        let said = run_child(dir.path(), point, *count, &format!("r{count}"));
        assert!(!said.contains(&"survived".to_owned()), "it never came to {point:?} {count} times");
        persisted.extend(said.iter().filter_map(|line| Some(line.strip_prefix("persisted ")?.to_owned())));
    }
    assert!(!persisted.is_empty(), "no child came so far that anything was persisted");

    let backend = open_backend(dir.path()).await;
    let store = open(dir.path(), backend.clone(), Fuse(Arc::new(|_| Ok(())))).await;
    let status = store.synced().await.unwrap();
    store.wait_for(|session| session.settled_head == status.settled_head).await.unwrap();
    let shown = store.query(lines_of).unwrap();
    for commit in &persisted {
        for text in [format!("{commit}a"), format!("draft {commit}b")] {
            let times = shown.iter().filter(|line| **line == text).count();
            assert_eq!(times, 1, "{text} is there {times} times, after crashes at {point:?}");
        }
    }
    let once: BTreeSet<&String> = shown.iter().collect();
    assert_eq!(once.len(), shown.len(), "something was applied twice");
    store.shutdown(std::time::Duration::from_secs(10)).await.unwrap();

    check_files(dir.path(), &shown);
    check_others(backend, shown).await;
}

/// What the files say is what a state shows that has seen nothing but the log, which has each commit once.
#[expect(clippy::unwrap_used, reason = "it is a part of the tests below")]
fn check_files(dir: &Path, shown: &[String]) {
    let log = RedbEventlog::open(dir.join("eventlog.redb")).unwrap();
    let state = SqliteMaterializer::open(dir.join("state.sqlite"), schema()).unwrap();
    assert_eq!(lines(&state), replay(&log));
    assert_eq!(shown, replay(&log));
    let events: Vec<Event> = log.read(Position::ROOT, ReadLimit::events(100_000)).unwrap();
    let mut seen = BTreeSet::new();
    let own = events.iter().filter_map(Event::identity);
    assert!(own.into_iter().all(|id| seen.insert(id)), "a commit is in the log twice");
}

/// Everybody else has the same lines.
#[expect(clippy::unwrap_used, reason = "it is a part of the tests below")]
async fn check_others(backend: Arc<dyn SyncBackend>, shown: Vec<String>) {
    let other = Store::builder(store_id())
        .eventlog(livestore_eventlog_memory::MemoryEventlog::new())
        .materializer(SqliteMaterializer::in_memory(schema()).unwrap())
        .upstream(backend)
        .start()
        .await
        .unwrap();
    let status = other.synced().await.unwrap();
    other.wait_for(|session| session.settled_head == status.settled_head).await.unwrap();
    let shared: Vec<String> = shown.into_iter().filter(|line| !line.starts_with("draft")).collect();
    assert_eq!(other.query(lines_of).unwrap(), shared);
}

#[tokio::test]
async fn before_a_commit_of_the_log() {
    survives(Point::BeforeLog, &[3, 5, 9, 20]).await;
}

#[tokio::test]
async fn between_the_log_and_the_state() {
    survives(Point::AfterLog, &[3, 5, 9, 20]).await;
}

#[tokio::test]
async fn between_the_state_and_what_sessions_are_told() {
    survives(Point::AfterState, &[2, 4, 8, 15]).await;
}

#[tokio::test]
async fn before_a_push_is_sent() {
    survives(Point::BeforePush, &[1, 3, 8]).await;
}

#[tokio::test]
async fn between_a_push_and_its_answer() {
    survives(Point::AfterPush, &[1, 3, 8]).await;
}
