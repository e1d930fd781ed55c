//! The backend suite over memory, by itself and as a trait object.

use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_memory::{LogConfig, MemoryBackend, MemoryBackends};
use livestore_conformance::backend::BackendFixture;
use livestore_traits::{BackendProvider, StoreId, SyncBackend};

/// A store is a handle of its log.
struct OneStore;

#[async_trait]
impl BackendFixture for OneStore {
    type Store = MemoryBackend;

    async fn create(&self) -> MemoryBackend {
        MemoryBackend::new()
    }
    async fn connect(&self, store: &MemoryBackend) -> Arc<dyn SyncBackend> {
        Arc::new(store.clone())
    }
    async fn reopen(&self, _: MemoryBackend) -> Option<MemoryBackend> {
        None
    }
    async fn replace(&self, _: MemoryBackend) -> Option<MemoryBackend> {
        Some(MemoryBackend::new())
    }
    fn runs_on_virtual_time(&self) -> bool {
        true
    }
}

/// A store is an id that its provider knows; the boxed form of a backend is one, too.
struct ManyStores;

#[async_trait]
impl BackendFixture for ManyStores {
    type Store = (MemoryBackends, StoreId);

    async fn create(&self) -> Self::Store {
        (MemoryBackends::new(), StoreId::new("todo").expect("a valid id"))
    }
    async fn connect(&self, (backends, id): &Self::Store) -> Arc<dyn SyncBackend> {
        let boxed: Box<dyn SyncBackend> = Box::new(backends.open(id).await.expect("memory opens"));
        Arc::new(boxed)
    }
    async fn reopen(&self, _: Self::Store) -> Option<Self::Store> {
        None
    }
    async fn replace(&self, (_, id): Self::Store) -> Option<Self::Store> {
        Some((MemoryBackends::new(), id))
    }
    fn runs_on_virtual_time(&self) -> bool {
        true
    }
}

/// As [`OneStore`], but no batch before the last is kept at hand: nearly all pages come from the storage.
struct NoTail;

#[async_trait]
impl BackendFixture for NoTail {
    type Store = MemoryBackend;

    async fn create(&self) -> MemoryBackend {
        MemoryBackend::with_config(LogConfig { tail_bytes: 0, ..LogConfig::default() })
    }
    async fn connect(&self, store: &MemoryBackend) -> Arc<dyn SyncBackend> {
        Arc::new(store.clone())
    }
    async fn reopen(&self, _: MemoryBackend) -> Option<MemoryBackend> {
        None
    }
    async fn replace(&self, _: MemoryBackend) -> Option<MemoryBackend> {
        Some(self.create().await)
    }
    fn runs_on_virtual_time(&self) -> bool {
        true
    }
}

mod no_tail {
    use super::*;
    livestore_conformance::backend!(NoTail);
}

mod one_store {
    use super::*;
    livestore_conformance::backend!(OneStore);
}

mod many_stores {
    use super::*;
    livestore_conformance::backend!(ManyStores);
}
