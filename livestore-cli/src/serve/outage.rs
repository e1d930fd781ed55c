//! Says once that the storage fails, and once that it works again.
//!
//! With a full disk every push of every client fails, and clients try again; the operator needs to be told of the
//! outage, not of each push.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use livestore_traits::{
    BackendProvider, BoxStream, Capabilities, ConnectionStatus, ProviderError, Pull, PullError, PullPage,
    Push, PushAck, PushError, StoreId, SyncBackend,
};

use crate::error::chain;

/// A provider whose backends report outages of the storage that they share.
#[derive(Debug)]
pub(super) struct ReportOutages {
    inner: Arc<dyn BackendProvider>,
    storage: Arc<Storage>,
}

/// What is known of the storage.
#[derive(Debug, Default)]
struct Storage {
    is_failing: AtomicBool,
}

impl Storage {
    fn failed(&self, error: &(dyn Error + 'static)) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the storage fails, pushes are refused and clients will try again: {}",
                chain(error)
            );
        }
    }

    fn works(&self) {
        // Read first: all pushes pass here, and a line that is only read is shared by all cores.
        if self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the storage works again");
        }
    }
}

impl ReportOutages {
    pub(super) fn new(inner: Arc<dyn BackendProvider>) -> Self {
        Self { inner, storage: Arc::default() }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackendProvider for ReportOutages {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        let inner = self.inner.open(store).await.inspect_err(|error| {
            if let ProviderError::Storage(source) = error {
                self.storage.failed(&**source);
            }
        })?;
        Ok(Arc::new(Reporting { inner, storage: self.storage.clone() }))
    }
}

#[derive(Debug)]
struct Reporting {
    inner: Arc<dyn SyncBackend>,
    storage: Arc<Storage>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for Reporting {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let pushed = self.inner.push(push).await;
        match &pushed {
            Ok(_) => self.storage.works(),
            Err(PushError::Backend { source, .. }) => self.storage.failed(&**source),
            // The others speak of the push.
            Err(_) => {}
        }
        pushed
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        self.inner.pull(pull)
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.inner.connection()
    }
}
