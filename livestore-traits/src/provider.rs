//! A server's side of many stores: where the backend of a store id comes from.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{BoxError, StoreId, SyncBackend};

/// Opens the backend of a store on demand; what a server holds behind its transports.
///
/// # Contract
/// - Opening a store that does not exist creates it, empty.
/// - Two backends opened for one id are handles of the same log.
/// - Dropping every handle of a store releases what it holds in memory; its log stays.
#[async_trait]
pub trait BackendProvider: Debug + Send + Sync + 'static {
    /// Opens the backend of `store`.
    ///
    /// # Errors
    /// [`ProviderError`] if the store may not be opened or its storage failed.
    ///
    /// # Cancel safety
    /// Cancel safe: the store may have been created, empty.
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError>;
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// As many stores as allowed are open and in use.
    #[error("too many open stores: at most {limit}")]
    TooManyStores {
        /// How many are allowed.
        limit: usize,
    },
    /// The storage failed.
    #[error("the store could not be opened")]
    Storage(#[source] BoxError),
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: BackendProvider + ?Sized> BackendProvider for Arc<T> {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        (**self).open(store).await
    }
}
