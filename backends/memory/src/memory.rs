//! The backend and the provider.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use livestore_backend_log::{LogConfig, Stats, StoreBackend, Stores};
use livestore_traits::{
    BackendId, BackendProvider, BoxStream, Capabilities, ConnectionStatus, ProviderError, Pull, PullError,
    PullPage, Push, PushAck, PushError, StoreId, SyncBackend,
};

use crate::storage::MemoryStorage;

/// The backend of one store, in memory. Clones are handles of the same log; it lives as long as the last of them.
#[derive(Clone, Debug)]
pub struct MemoryBackend(StoreBackend<MemoryStorage>);

impl MemoryBackend {
    /// An empty log with the default limits and the time of the machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(LogConfig::default())
    }

    /// An empty log with limits and a clock of one's own.
    #[must_use]
    pub fn with_config(config: LogConfig) -> Self {
        let store = StoreId::new("memory").expect("the literal is a valid store id");
        let opened = MemoryBackends::with_config(config).0.open(&store).now_or_never();
        Self(opened.expect("memory never waits").expect("memory never fails"))
    }

    /// The incarnation of this log; each new backend has another one.
    #[must_use]
    pub fn backend_id(&self) -> &BackendId {
        self.0.backend_id()
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for MemoryBackend {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.0.push(push).await
    }
    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        self.0.pull(pull)
    }
    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.0.connection()
    }
}

/// Many stores in memory, opened by id. Their logs live as long as this provider, its clones and its backends.
#[derive(Clone, Debug)]
pub struct MemoryBackends(Stores<MemoryStorage>);

impl MemoryBackends {
    /// No stores yet; the default limits and the time of the machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(LogConfig::default())
    }

    /// No stores yet; limits and a clock of one's own.
    #[must_use]
    pub fn with_config(config: LogConfig) -> Self {
        Self(Stores::inline(MemoryStorage::default(), config).expect("memory never fails"))
    }

    /// What happened since it was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

impl Default for MemoryBackends {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackendProvider for MemoryBackends {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        BackendProvider::open(&self.0, store).await
    }
}
