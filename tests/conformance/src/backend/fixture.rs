//! What an implementer gives to the suite.

use std::sync::Arc;

use async_trait::async_trait;
use livestore_traits::SyncBackend;

/// Makes the backends under test.
///
/// # Example
/// ```
/// # use std::sync::Arc;
/// # use async_trait::async_trait;
/// # use livestore_traits::SyncBackend;
/// use livestore_conformance::backend::BackendFixture;
///
/// /// A log in memory: a store is a handle of it.
/// struct InMemory;
/// # fn new_log() -> Arc<dyn SyncBackend> { unimplemented!() }
///
/// #[async_trait]
/// impl BackendFixture for InMemory {
///     type Store = Arc<dyn SyncBackend>;
///     async fn create(&self) -> Self::Store { new_log() }
///     async fn connect(&self, store: &Self::Store) -> Arc<dyn SyncBackend> { store.clone() }
///     async fn reopen(&self, _: Self::Store) -> Option<Self::Store> { None }
///     async fn replace(&self, _: Self::Store) -> Option<Self::Store> { Some(new_log()) }
///     fn runs_on_virtual_time(&self) -> bool { true }
/// }
/// ```
#[async_trait]
pub trait BackendFixture: Send + Sync {
    /// Where a store is: a handle, an id in a data dir, an address. Everything that serves it lives in here or in the
    /// fixture.
    type Store: Send + Sync;

    /// Makes a new, empty store.
    async fn create(&self) -> Self::Store;

    /// A new handle of the store, as another client would have one.
    async fn connect(&self, store: &Self::Store) -> Arc<dyn SyncBackend>;

    /// Closes the store and opens the same storage again, as after a restart. All handles were dropped before. `None`
    /// if nothing outlives the process.
    async fn reopen(&self, store: Self::Store) -> Option<Self::Store>;

    /// Puts a new, empty log where the store was, as when a server's data was deleted. All handles were dropped before.
    /// `None` if that cannot happen to this backend.
    async fn replace(&self, store: Self::Store) -> Option<Self::Store>;

    /// Whether the backend neither uses threads nor sockets, so that paused time advances only when it waits.
    fn runs_on_virtual_time(&self) -> bool;
}
