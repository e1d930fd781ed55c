//! The JSON-lines backend keeps the contract of every sync backend, and survives what can happen to its file.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use custom_backend::JsonLinesBackend;
use futures::StreamExt as _;
use livestore_conformance::backend::BackendFixture;
use livestore_traits::{
    Args, ClientId, Cursor, EventName, GlobalSeq, Pull, PullMode, Push, SessionId, SyncBackend, SyncedEvent,
};
use tempfile::TempDir;

struct JsonLinesFixture;

/// One store: its file, and the handle that has it open.
struct Store {
    dir: TempDir,
    backend: JsonLinesBackend,
}

impl Store {
    fn path(dir: &TempDir) -> PathBuf {
        dir.path().join("store.jsonl")
    }

    fn open(dir: TempDir) -> Self {
        let backend = JsonLinesBackend::open(&Self::path(&dir)).unwrap();
        Self { dir, backend }
    }
}

#[async_trait]
impl BackendFixture for JsonLinesFixture {
    type Store = Store;

    async fn create(&self) -> Store {
        Store::open(tempfile::tempdir().unwrap())
    }
    async fn connect(&self, store: &Store) -> Arc<dyn SyncBackend> {
        Arc::new(store.backend.clone())
    }
    async fn reopen(&self, Store { dir, backend }: Store) -> Option<Store> {
        drop(backend);
        Some(Store::open(dir))
    }
    async fn replace(&self, Store { dir, backend }: Store) -> Option<Store> {
        drop(backend);
        fs::remove_file(Store::path(&dir)).unwrap();
        Some(Store::open(dir))
    }
    fn runs_on_virtual_time(&self) -> bool {
        false
    }
}

livestore_conformance::backend!(JsonLinesFixture);

/// A push of one event after `e<after>`.
fn batch(after: u64, args: &str) -> Push {
    let event = SyncedEvent {
        seq: GlobalSeq(after + 1),
        parent: GlobalSeq(after),
        name: EventName::new("v1.Tested").unwrap(),
        args: Args::parse(args.to_owned()).unwrap(),
        client_id: ClientId::new("client").unwrap(),
        session_id: SessionId::new("session").unwrap(),
        commit: None,
        unit_end: true,
        created_at: None,
    };
    Push::new(None, GlobalSeq(after), None, vec![event])
}

async fn events(backend: &JsonLinesBackend) -> Vec<SyncedEvent> {
    let pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    pages.flat_map(|page| futures::stream::iter(page.unwrap().events.to_vec())).collect().await
}

/// A crash may leave any part of the last line, even half a character: it was never acknowledged.
#[tokio::test]
async fn a_line_without_its_end_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = Store::path(&dir);
    let backend = JsonLinesBackend::open(&path).unwrap();
    backend.push(batch(0, "\"ä\"")).await.unwrap();
    let one = fs::read(&path).unwrap();
    backend.push(batch(1, "\"ö\"")).await.unwrap();
    let two = fs::read(&path).unwrap();
    drop(backend);
    for len in one.len()..two.len() {
        fs::write(&path, &two[..len]).unwrap();
        let backend = JsonLinesBackend::open(&path).unwrap();
        assert_eq!(events(&backend).await.len(), 1, "cut at byte {len}");
        backend.push(batch(1, "\"ü\"")).await.unwrap();
        drop(backend);
        let backend = JsonLinesBackend::open(&path).unwrap();
        assert_eq!(events(&backend).await[1].args.as_str(), "\"ü\"", "cut at byte {len}");
    }
}

/// Pretty-printed args would break the line that they stand on.
#[tokio::test]
async fn args_of_several_lines_stay_on_one() {
    let dir = tempfile::tempdir().unwrap();
    let backend = JsonLinesBackend::open(&Store::path(&dir)).unwrap();
    let args = "{\n  \"text\": \"first\\nsecond\"\r\n}";
    backend.push(batch(0, args)).await.unwrap();
    drop(backend);
    let backend = JsonLinesBackend::open(&Store::path(&dir)).unwrap();
    assert!(events(&backend).await[0].args.js_eq(&Args::parse(args).unwrap()));
    assert_eq!(fs::read_to_string(Store::path(&dir)).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = Store::path(&dir);
    let backend = JsonLinesBackend::open(&path).unwrap();
    for after in 0..3 {
        backend.push(batch(after, "1")).await.unwrap();
    }
    drop(backend);
    let good = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = good.lines().collect();
    let damaged = [
        format!("{}\n{}\n{}\n", lines[0], lines[1], lines[3]),
        format!("{}\n{}\n{}\n", lines[0], lines[2], lines[1]),
        format!("{}\n{}\n{}\n{}\n", lines[0], lines[1], lines[1], lines[2]),
        format!("{}\n{}\n{}\n", lines[0], lines[1], &lines[2][1..]),
        good.replacen("backend_id", "backend", 1),
        "a file of another kind, of one line".to_owned(),
        "a file of another kind,\nof two lines".to_owned(),
    ];
    for text in damaged {
        fs::write(&path, &text).unwrap();
        assert!(JsonLinesBackend::open(&path).is_err(), "opened {text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_file_that_is_open_is_not_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let backend = JsonLinesBackend::open(&Store::path(&dir)).unwrap();
    assert!(JsonLinesBackend::open(&Store::path(&dir)).is_err());
    drop(backend);
    assert!(JsonLinesBackend::open(&Store::path(&dir)).is_ok());
}
