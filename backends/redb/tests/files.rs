//! Files that are not what they should be, and copies that are put in service.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use livestore_backend_redb::{OpenError, RedbBackends, RedbConfig, RestoreError, restore};
use livestore_conformance::backend::sample_events;
use livestore_traits::{
    BackendProvider, Cursor, GlobalSeq, Pull, PullError, PullMode, PullPage, Push, StoreId, SyncBackend,
};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

const EVENTS: u64 = 300;

async fn store(backends: &RedbBackends, id: &str) -> Arc<dyn SyncBackend> {
    backends.open(&StoreId::new(id).unwrap()).await.unwrap()
}

async fn pull(backend: &dyn SyncBackend, pull: Pull) -> Result<Vec<PullPage>, PullError> {
    backend.pull(pull).collect::<Vec<_>>().await.into_iter().collect()
}

async fn pull_all(backend: &dyn SyncBackend) -> Result<Vec<PullPage>, PullError> {
    pull(backend, Pull::new(None, Cursor::start(), PullMode::Once)).await
}

/// A data dir with two stores of `EVENTS` events, closed.
async fn data_dir() -> TempDir {
    let dir = TempDir::new().unwrap();
    let backends = RedbBackends::open(dir.path(), RedbConfig::default()).unwrap();
    for id in ["a", "b"] {
        let backend = store(&backends, id).await;
        for parent in (0..EVENTS).step_by(100) {
            let events = sample_events("client", GlobalSeq(parent), 100);
            backend.push(Push::new(None, GlobalSeq(parent), None, events)).await.unwrap();
        }
    }
    dir
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("livestore.redb")
}

fn open(dir: &Path) -> Result<RedbBackends, OpenError> {
    RedbBackends::open(dir, RedbConfig::default())
}

#[tokio::test]
async fn a_data_dir_in_use_says_so() {
    let dir = data_dir().await;
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, OpenError::InUse(path) if *path == file(&dir)), "{error:?}");
    // The one that was there is not disturbed.
    assert!(pull_all(&*store(&first, "a").await).await.is_ok());
}

#[test]
fn a_file_of_something_else_is_damaged() {
    for content in [b"hello".to_vec(), vec![0; 100_000], b"redb".repeat(5_000), vec![0xff; 100]] {
        let dir = TempDir::new().unwrap();
        fs::write(file(&dir), &content).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{} bytes: {error:?}", content.len());
        assert_eq!(fs::read(file(&dir)).unwrap(), content, "a file that is not ours is left alone");
    }
}

/// redb makes the length of a file durable before its first word. A server that stopped there could never start again.
#[test]
fn a_file_whose_making_was_cut_short_is_made_again() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()).unwrap());
    let page_size = fs::read(file(&dir)).unwrap()[12..16].to_vec();
    for header in [vec![0; 16], [vec![0; 12], page_size].concat()] {
        fs::write(file(&dir), [header, vec![0; 60_000]].concat()).unwrap();
        open(dir.path()).unwrap();
    }
}

#[test]
fn a_data_dir_that_is_a_file_cannot_be_opened() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("data");
    fs::write(&path, "").unwrap();
    assert!(matches!(open(&path), Err(OpenError::Storage { .. })));
}

#[tokio::test]
async fn a_file_of_another_format_names_both() {
    let dir = data_dir().await;
    let database = Database::open(file(&dir)).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 2).unwrap();
    txn.commit().unwrap();
    drop(database);
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Format { found: 2, supported: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_an_error_and_never_a_shorter_log() {
    let dir = data_dir().await;
    let whole = fs::metadata(file(&dir)).unwrap().len();
    for tenth in 1..10 {
        let copy = TempDir::new().unwrap();
        fs::copy(file(&dir), file(&copy)).unwrap();
        File::options().write(true).open(file(&copy)).unwrap().set_len(whole * tenth / 10).unwrap();
        match open(copy.path()) {
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}"),
            // redb allocates ahead: without the unused end the file is whole.
            Ok(backends) => assert_whole_or_failing(&backends).await,
        }
    }
}

#[tokio::test]
async fn overwritten_pages_never_pass_for_events() {
    let dir = data_dir().await;
    let pages = fs::metadata(file(&dir)).unwrap().len() / 4096;
    for page in 0..pages {
        let copy = TempDir::new().unwrap();
        let mut content = fs::read(file(&dir)).unwrap();
        if content[page as usize * 4096..][..4096].iter().all(|byte| *byte == 0) {
            continue;
        }
        content[page as usize * 4096..][..4096].fill(0xa5);
        fs::write(file(&copy), content).unwrap();
        match open(copy.path()) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(backends) => assert_whole_or_failing(&backends).await,
        }
    }
}

/// Each store has all of its events or says that it failed; it never has others.
async fn assert_whole_or_failing(backends: &RedbBackends) {
    for id in ["a", "b"] {
        let Ok(backend) = backends.open(&StoreId::new(id).unwrap()).await else { continue };
        let Ok(pages) = pull_all(&*backend).await else { continue };
        let events: Vec<_> = pages.iter().flat_map(|page| page.events.iter()).collect();
        assert_eq!(events.len() as u64, EVENTS);
        assert!(events.iter().all(|event| event.client_id.as_str() == "client"));
    }
}

#[tokio::test]
async fn a_restored_copy_has_the_same_events_and_another_identity() {
    let dir = data_dir().await;
    let before = pull_all(&*store(&open(dir.path()).unwrap(), "a").await).await.unwrap();
    let parent = TempDir::new().unwrap();
    let target = parent.path().join("new");
    let restored = restore(dir.path(), &target).unwrap();
    assert_eq!(restored.file, target.join("livestore.redb"));
    let heads: Vec<_> = restored.stores.iter().map(|(id, head)| (id.as_str(), head.0)).collect();
    assert_eq!(heads, [("a", EVENTS), ("b", EVENTS)]);
    let names: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["livestore.redb"], "nothing of the work is left");

    let backends = open(&target).unwrap();
    let (a, b) = (store(&backends, "a").await, store(&backends, "b").await);
    let after = pull_all(&*a).await.unwrap();
    assert!(before.iter().map(|page| &page.events).eq(after.iter().map(|page| &page.events)));
    let ids = [&before[0].backend_id, &after[0].backend_id, &pull_all(&*b).await.unwrap()[0].backend_id];
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let known = Pull::new(Some(before[0].backend_id.clone()), before[0].cursor.clone(), PullMode::Once);
    assert!(matches!(pull(&*a, known).await, Err(PullError::Diverged(_))));
    assert!(pull_all(&*store(&open(dir.path()).unwrap(), "a").await).await.is_ok(), "the copy is only read");
}

#[tokio::test]
async fn a_restore_never_overwrites_and_leaves_nothing_of_a_bad_copy() {
    let dir = data_dir().await;
    let other = data_dir().await;
    let kept = fs::read(file(&other)).unwrap();
    assert!(
        matches!(restore(file(&dir), other.path()), Err(RestoreError::TargetExists(path)) if path == file(&other))
    );
    assert_eq!(fs::read(file(&other)).unwrap(), kept);

    let gap = |database: &Database| {
        let txn = database.begin_write().unwrap();
        let table = TableDefinition::<(u32, u64), &[u8]>::new("events");
        txn.open_table(table).unwrap().remove((0, 150)).unwrap().unwrap();
        txn.commit().unwrap();
    };
    gap(&Database::open(file(&dir)).unwrap());
    let garbage = TempDir::new().unwrap();
    fs::write(file(&garbage), "garbage").unwrap();
    for copy in [file(&dir), file(&garbage), dir.path().join("missing")] {
        let target = TempDir::new().unwrap();
        let error = restore(&copy, target.path()).unwrap_err();
        assert!(matches!(error, RestoreError::Damaged { .. }), "{copy:?}: {error:?}");
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "the target is as it was");
    }
    // A server that meets the gap says so instead of skipping it.
    let backends = open(dir.path()).unwrap();
    assert!(matches!(pull_all(&*store(&backends, "a").await).await, Err(PullError::Backend { .. })));
    assert!(pull_all(&*store(&backends, "b").await).await.is_ok());
}
