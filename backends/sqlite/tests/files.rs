//! Files that are not what they should be, a full disk, and copies that are put in service.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use livestore_backend_sqlite::{OpenError, RestoreError, SqliteBackends, SqliteConfig, restore};
use livestore_conformance::backend::sample_events;
use livestore_traits::{
    BackendProvider, Cursor, GlobalSeq, Pull, PullError, PullMode, PullPage, Push, PushError, StoreId,
    SyncBackend,
};
use rusqlite::Connection;
use tempfile::TempDir;

const EVENTS: u64 = 300;

async fn store(backends: &SqliteBackends, id: &str) -> Arc<dyn SyncBackend> {
    backends.open(&StoreId::new(id).unwrap()).await.unwrap()
}

async fn pull(backend: &dyn SyncBackend, pull: Pull) -> Result<Vec<PullPage>, PullError> {
    backend.pull(pull).collect::<Vec<_>>().await.into_iter().collect()
}

async fn pull_all(backend: &dyn SyncBackend) -> Result<Vec<PullPage>, PullError> {
    pull(backend, Pull::new(None, Cursor::start(), PullMode::Once)).await
}

async fn push(backend: &dyn SyncBackend, parent: u64) -> Result<(), PushError> {
    let events = sample_events("client", GlobalSeq(parent), 100);
    backend.push(Push::new(None, GlobalSeq(parent), None, events)).await.map(drop)
}

/// A data dir with two stores of `EVENTS` events, closed.
async fn data_dir() -> TempDir {
    let dir = TempDir::new().unwrap();
    let backends = open(dir.path()).unwrap();
    for id in ["a", "b"] {
        let backend = store(&backends, id).await;
        for parent in (0..EVENTS).step_by(100) {
            push(&*backend, parent).await.unwrap();
        }
    }
    dir
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("livestore.sqlite")
}

fn open(dir: &Path) -> Result<SqliteBackends, OpenError> {
    SqliteBackends::open(dir, SqliteConfig::default())
}

#[tokio::test]
async fn a_data_dir_in_use_says_so() {
    let dir = data_dir().await;
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, OpenError::InUse(path) if *path == file(&dir)), "{error:?}");
    assert!(pull_all(&*store(&first, "a").await).await.is_ok());
}

#[test]
fn a_file_of_something_else_is_damaged() {
    for content in [b"hello".to_vec(), vec![0; 10_000], b"sqlite".repeat(5_000), vec![0xff; 100]] {
        let dir = TempDir::new().unwrap();
        fs::write(file(&dir), &content).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{} bytes: {error:?}", content.len());
        assert_eq!(fs::read(file(&dir)).unwrap(), content, "a file that is not ours is left alone");
    }
}

#[test]
fn a_database_of_another_application_is_left_alone() {
    let dir = TempDir::new().unwrap();
    Connection::open(file(&dir)).unwrap().execute_batch("CREATE TABLE contacts (name TEXT)").unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: u32 = Connection::open(file(&dir)).unwrap().query_row(tables, (), |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_file_of_another_format_names_both() {
    let dir = data_dir().await;
    Connection::open(file(&dir)).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Format { found: 2, supported: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_damaged() {
    let dir = data_dir().await;
    let whole = fs::metadata(file(&dir)).unwrap().len();
    for len in [1, 100, 4095, whole / 2, whole - 4096, whole - 1] {
        let copy = TempDir::new().unwrap();
        fs::copy(file(&dir), file(&copy)).unwrap();
        File::options().write(true).open(file(&copy)).unwrap().set_len(len).unwrap();
        let opened = open(copy.path()).map(drop);
        assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{len} of {whole} bytes: {opened:?}");
    }
}

#[tokio::test]
async fn overwritten_pages_never_pass_for_events() {
    let dir = data_dir().await;
    let pages = fs::metadata(file(&dir)).unwrap().len() / 4096;
    for page in 0..pages {
        let copy = TempDir::new().unwrap();
        let mut content = fs::read(file(&dir)).unwrap();
        content[page as usize * 4096..][..4096].fill(0xa5);
        fs::write(file(&copy), content).unwrap();
        let Ok(backends) = open(copy.path()) else { continue };
        for id in ["a", "b"] {
            let Ok(backend) = backends.open(&StoreId::new(id).unwrap()).await else { continue };
            let Ok(pages) = pull_all(&*backend).await else { continue };
            assert_eq!(pages.iter().map(|page| page.events.len() as u64).sum::<u64>(), EVENTS);
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_pushes_and_nothing_else() {
    let dir = data_dir().await;
    let size = fs::metadata(file(&dir)).unwrap().len();
    let config = SqliteConfig { max_file_bytes: Some(size + 16 * 4096), ..SqliteConfig::default() };
    let backends = SqliteBackends::open(dir.path(), config).unwrap();
    let backend = store(&backends, "a").await;
    let mut head = EVENTS;
    let error = loop {
        match push(&*backend, head).await {
            Ok(()) => head += 100,
            Err(error) => break error,
        }
    };
    assert!(head > EVENTS && matches!(error, PushError::Backend { backend: "sqlite", .. }), "{error:?}");
    assert!(matches!(push(&*backend, head).await, Err(PushError::Backend { .. })));
    // A repeat needs no room, and neither do readers.
    push(&*backend, 0).await.unwrap();
    let count = |pages: Vec<PullPage>| pages.iter().map(|page| page.events.len() as u64).sum::<u64>();
    assert_eq!(count(pull_all(&*backend).await.unwrap()), head);
    assert!(backends.stats().failure.is_none());
    drop((backend, backends));

    let backend = store(&open(dir.path()).unwrap(), "a").await;
    assert_eq!(count(pull_all(&*backend).await.unwrap()), head);
    push(&*backend, head).await.unwrap();
}

#[tokio::test]
async fn a_copy_with_its_wal_is_restored_whole_under_another_identity() {
    let dir = data_dir().await;
    // Open while copied, so that the newest events stand in the WAL only.
    let backends = open(dir.path()).unwrap();
    push(&*store(&backends, "a").await, EVENTS).await.unwrap();
    assert!(fs::metadata(dir.path().join("livestore.sqlite-wal")).unwrap().len() > 0);
    let before = pull_all(&*store(&backends, "a").await).await.unwrap();
    let target = TempDir::new().unwrap();
    let restored = restore(dir.path(), target.path()).unwrap();
    let heads: Vec<_> = restored.stores.iter().map(|(id, head)| (id.as_str(), head.0)).collect();
    assert_eq!(heads, [("a", EVENTS + 100), ("b", EVENTS)]);
    let names: Vec<_> =
        fs::read_dir(target.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["livestore.sqlite"], "nothing of the work is left");

    let restored = open(target.path()).unwrap();
    let backend = store(&restored, "a").await;
    let after = pull_all(&*backend).await.unwrap();
    assert!(before.iter().map(|page| &page.events).eq(after.iter().map(|page| &page.events)));
    let known = Pull::new(Some(before[0].backend_id.clone()), before[0].cursor.clone(), PullMode::Once);
    assert!(matches!(pull(&*backend, known).await, Err(PullError::Diverged(_))));
}

#[tokio::test]
async fn a_restore_never_overwrites_and_leaves_nothing_of_a_bad_copy() {
    let dir = data_dir().await;
    let other = data_dir().await;
    assert!(
        matches!(restore(file(&dir), other.path()), Err(RestoreError::TargetExists(path)) if path == file(&other))
    );

    let gap = "DELETE FROM events WHERE log = 0 AND seq = 150";
    assert_eq!(Connection::open(file(&dir)).unwrap().execute(gap, ()).unwrap(), 1);
    let garbage = TempDir::new().unwrap();
    fs::write(file(&garbage), "garbage").unwrap();
    for copy in [file(&dir), file(&garbage), dir.path().join("missing")] {
        let target = TempDir::new().unwrap();
        let error = restore(&copy, target.path()).unwrap_err();
        assert!(matches!(error, RestoreError::Damaged { .. }), "{copy:?}: {error:?}");
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "the target is as it was");
    }
    let backends = open(dir.path()).unwrap();
    assert!(matches!(pull_all(&*store(&backends, "a").await).await, Err(PullError::Backend { .. })));
    assert!(pull_all(&*store(&backends, "b").await).await.is_ok());
}

/// Data that was written must stay readable: a change of the schema needs a new format beside this one.
#[tokio::test]
async fn format_1_is_this_schema_and_these_rows() {
    let dir = data_dir().await;
    let row =
        "SELECT concat_ws('|', seq, name, client_id, session_id, commit_n, commit_index, unit_end, args)
        FROM events WHERE log = 1 AND seq = 102 AND length(tag) = 8 AND created_at > 1700000000000";
    let connection = Connection::open(file(&dir)).unwrap();
    let row: String = connection.query_row(row, (), |row| row.get(0)).unwrap();
    assert_eq!(row, r#"102|v1.Tested|client|session|102|0|1|{"nr":1}"#);
}
