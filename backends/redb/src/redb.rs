//! The provider of a data dir's backends.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_log::{FileStorage, LogConfig, OpenError, RestoreError, Restored, Stats, Stores};
use livestore_traits::{BackendProvider, ProviderError, StoreId, SyncBackend};

use crate::storage::RedbStorage;

/// How a data dir is opened.
#[derive(Clone, Debug)]
pub struct RedbConfig {
    /// Pages of the file kept in memory, over all stores, in bytes.
    pub cache_bytes: usize,
    /// Whether a start after a crash is quick however large the file is. Without it redb reads the whole file then: a
    /// file of 544 MB that the system still had in memory took 0.9 s, one that is not takes as long as the disk needs to
    /// read it. With it the start took 2 ms, but every commit costs a second sync, twice its time. After a clean stop
    /// both start at once.
    pub fast_restart: bool,
    /// Bounds and clock of the logs.
    pub log: LogConfig,
}

impl Default for RedbConfig {
    fn default() -> Self {
        Self { cache_bytes: 128 * 1024 * 1024, fast_restart: false, log: LogConfig::default() }
    }
}

/// The stores of a data dir, in one redb file. Clones share it; when the last clone and the last backend are dropped,
/// what was pushed is written and the file is closed.
#[derive(Clone, Debug)]
pub struct RedbBackends(Stores<RedbStorage>);

impl RedbBackends {
    /// Opens the data dir `dir`, and creates it if there is none.
    ///
    /// # Errors
    /// [`OpenError`] if it is in use, damaged, of another version, or cannot be written.
    pub fn open(dir: impl AsRef<Path>, config: RedbConfig) -> Result<Self, OpenError> {
        let path = dir.as_ref().join(RedbStorage::FILE_NAME);
        fs::create_dir_all(dir.as_ref()).map_err(|error| OpenError::io(dir.as_ref(), error))?;
        let storage = RedbStorage::open(&path, &config)?;
        Self::start(storage, config, &path)
    }

    /// Opens the stores on a device of one's own, for example one that fails on purpose.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_device(device: impl redb::StorageBackend, config: RedbConfig) -> Result<Self, OpenError> {
        let storage = RedbStorage::open_device(device, &config)?;
        Self::start(storage, config, Path::new("device"))
    }

    /// As [`Self::open_device`], and reads and writes in the task of the caller, whatever it waits for: in a simulation
    /// that has one thread, the same run comes out each time.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_device_inline(
        device: impl redb::StorageBackend,
        config: RedbConfig,
    ) -> Result<Self, OpenError> {
        let storage = RedbStorage::open_device(device, &config)?;
        let stores = Stores::inline(storage, config.log);
        stores.map(Self).map_err(|source| OpenError::storage(Path::new("device"), source))
    }

    fn start(storage: RedbStorage, config: RedbConfig, path: &Path) -> Result<Self, OpenError> {
        let stores = Stores::threaded(storage, config.log);
        stores.map(Self).map_err(|source| OpenError::storage(path, source))
    }

    /// What happened since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackendProvider for RedbBackends {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        BackendProvider::open(&self.0, store).await
    }
}

/// Puts `copy`, a data file or a data dir with one, in service in the data dir `target`, under new backend ids. The
/// target must have no data; the copy is only read.
///
/// # Errors
/// As [`RestoreError`] says; the target is then as it was.
pub fn restore(copy: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<Restored, RestoreError> {
    livestore_backend_log::restore::<RedbStorage>(copy.as_ref(), target.as_ref())
}
