//! The provider of a data dir's backends.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_log::{FileStorage, LogConfig, OpenError, RestoreError, Restored, Stats, Stores};
use livestore_traits::{BackendProvider, ProviderError, StoreId, SyncBackend};

use crate::storage::SqliteStorage;

/// How a data dir is opened.
#[derive(Clone, Debug, Default)]
pub struct SqliteConfig {
    /// The file grows no larger than this; pushes beyond it are refused, and everything else goes on.
    pub max_file_bytes: Option<u64>,
    /// Bounds and clock of the logs.
    pub log: LogConfig,
}

/// The stores of a data dir, in one SQLite file. Clones share it; when the last clone and the last backend are dropped,
/// what was pushed is written and the file is closed.
#[derive(Clone, Debug)]
pub struct SqliteBackends(Stores<SqliteStorage>);

impl SqliteBackends {
    /// Opens the data dir `dir`, and creates it if there is none.
    ///
    /// # Errors
    /// [`OpenError`] if it is in use, damaged, of another version, or cannot be written.
    pub fn open(dir: impl AsRef<Path>, config: SqliteConfig) -> Result<Self, OpenError> {
        let path = dir.as_ref().join(SqliteStorage::FILE_NAME);
        fs::create_dir_all(dir.as_ref()).map_err(|error| OpenError::io(dir.as_ref(), error))?;
        let storage = SqliteStorage::open(&path, &config)?;
        let stores = Stores::threaded(storage, config.log);
        stores.map(Self).map_err(|source| OpenError::storage(&path, source))
    }

    /// What happened since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackendProvider for SqliteBackends {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        BackendProvider::open(&self.0, store).await
    }
}

/// Puts `copy`, a data file or a data dir with one, in service in the data dir `target`, under new backend ids. The
/// target must have no data; the copy is only read, with its `-wal` file if there is one.
///
/// # Errors
/// As [`RestoreError`] says; the target is then as it was.
pub fn restore(copy: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<Restored, RestoreError> {
    livestore_backend_log::restore::<SqliteStorage>(copy.as_ref(), target.as_ref())
}
