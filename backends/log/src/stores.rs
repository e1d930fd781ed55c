//! The logs of one storage, opened by store id.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use livestore_traits::{BackendProvider, BoxError, ProviderError, StoreId, SyncBackend};
use tokio::sync::oneshot;

use crate::committer::{Command, Committer};
use crate::log::OpenLogs;
use crate::writer::{Writer, WriterThread};
use crate::{Changes, Failure, LogConfig, LogStorage, StoreBackend};

/// Opens the logs of a storage. Clones share them; when the last clone and the last backend are dropped, what was
/// handed over is written and the storage is closed.
#[derive(Debug)]
pub struct Stores<S>(Arc<Core<S>>);

/// What all backends of a storage share.
#[derive(Debug)]
pub(crate) struct Core<S> {
    // Dropped first: the thread must have ended before the storage is closed.
    pub(crate) writer: Writer<S>,
    pub(crate) storage: Arc<S>,
    pub(crate) config: LogConfig,
    open: Arc<OpenLogs>,
    counters: Arc<Counters>,
}

impl<S: LogStorage> Stores<S> {
    /// Writes on a thread of its own, for storages that wait for a device.
    ///
    /// # Errors
    /// If the storage cannot be read or no thread can be started.
    pub fn threaded(storage: S, config: LogConfig) -> Result<Self, BoxError> {
        Self::new(storage, config, |committer, config| {
            WriterThread::start(committer, config).map(Writer::Thread)
        })
    }

    /// Reads and writes in the task of the caller: for storages that never wait, and for simulations in one thread.
    ///
    /// # Errors
    /// If the storage cannot be read.
    pub fn inline(storage: S, config: LogConfig) -> Result<Self, BoxError> {
        Self::new(storage, config, |committer, _| Ok(Writer::Inline(committer.into())))
    }

    fn new(
        storage: S,
        config: LogConfig,
        writer: impl FnOnce(Committer<S>, &LogConfig) -> Result<Writer<S>, BoxError>,
    ) -> Result<Self, BoxError> {
        let storage = Arc::new(storage);
        let open = Arc::new(OpenLogs::default());
        let counters = Arc::new(Counters::default());
        let committer = Committer::new(storage.clone(), open.clone(), counters.clone(), config.clone())?;
        let writer = writer(committer, &config)?;
        Ok(Self(Arc::new(Core { writer, storage, config, open, counters })))
    }

    /// Opens the log of `store`, and creates it if there is none.
    ///
    /// # Errors
    /// If the storage failed.
    ///
    /// # Cancel safety
    /// Cancel safe: the log may have been created, empty.
    pub async fn open(&self, store: &StoreId) -> Result<StoreBackend<S>, Failure> {
        if let Some(log) = self.0.open.find(store) {
            return Ok(StoreBackend::new(self.0.clone(), log));
        }
        let (answer, opened) = oneshot::channel();
        self.0.writer.submit(Command::Open { store: store.clone(), answer }).await?;
        let log = opened.await.map_err(|_| Failure::stopped())??;
        Ok(StoreBackend::new(self.0.clone(), log))
    }

    /// What happened since the storage was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.0.counters;
        Stats {
            open_stores: self.0.open.len(),
            queued_bytes: self.0.writer.queued_bytes(),
            commits: counters.commits.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            events: counters.events.load(Ordering::Relaxed),
            failure: counters.failure.get().cloned(),
        }
    }
}

impl<S> Clone for Stores<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LogStorage> BackendProvider for Stores<S> {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        match Self::open(self, store).await {
            Ok(backend) => Ok(Arc::new(backend)),
            Err(failure) => Err(ProviderError::Storage(Box::new(failure))),
        }
    }
}

/// The figures of a storage, for a health page. Counts begin when the storage is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Stores with a handle or a pull.
    pub open_stores: usize,
    /// Bytes of pushes that wait or are being written.
    pub queued_bytes: usize,
    /// Commits of the storage, each one sync.
    pub commits: u64,
    /// Accepted pushes; divided by `commits`, how many shared a sync.
    pub batches: u64,
    /// Accepted events.
    pub events: u64,
    /// Why the storage was closed, if it failed.
    pub failure: Option<Failure>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    batches: AtomicU64,
    events: AtomicU64,
    failure: OnceLock<Failure>,
}

impl Counters {
    pub(crate) fn committed(&self, changes: &Changes) {
        let events: usize = changes.batches.iter().map(|batch| batch.events.len()).sum();
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.batches.fetch_add(changes.batches.len() as u64, Ordering::Relaxed);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        // A storage fails once: it is closed then.
        let _ = self.failure.set(failure.clone());
    }
}
