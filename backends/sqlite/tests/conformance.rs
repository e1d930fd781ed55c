//! The backend suite over SQLite.

use std::fs;
use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_sqlite::{SqliteBackends, SqliteConfig};
use livestore_conformance::backend::BackendFixture;
use livestore_traits::{BackendProvider, StoreId, SyncBackend};
use tempfile::TempDir;

/// A store is the only one of a data dir.
struct DataDirs;

struct Store {
    backends: SqliteBackends,
    dir: TempDir,
}

impl Store {
    fn open(dir: TempDir) -> Self {
        let backends = SqliteBackends::open(dir.path(), SqliteConfig::default()).expect("the data dir opens");
        Self { backends, dir }
    }
}

#[async_trait]
impl BackendFixture for DataDirs {
    type Store = Store;

    async fn create(&self) -> Store {
        Store::open(TempDir::new().expect("a directory for the test"))
    }
    async fn connect(&self, store: &Store) -> Arc<dyn SyncBackend> {
        let id = StoreId::new("todo").expect("a valid id");
        store.backends.open(&id).await.expect("the store opens")
    }
    async fn reopen(&self, store: Store) -> Option<Store> {
        let Store { backends, dir } = store;
        drop(backends);
        Some(Store::open(dir))
    }
    async fn replace(&self, store: Store) -> Option<Store> {
        let Store { backends, dir } = store;
        drop(backends);
        fs::remove_dir_all(dir.path()).expect("the data is deleted");
        Some(Store::open(dir))
    }
    fn runs_on_virtual_time(&self) -> bool {
        false
    }
}

livestore_conformance::backend!(DataDirs);
