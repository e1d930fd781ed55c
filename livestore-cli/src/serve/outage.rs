//! What the server does while its storage cannot be written, as with a full disk.
//!
//! ```text
//!            a push fails                        the pause is over
//!  works ────────────────▶ paused: pushes are ────────────────────▶ the next push tries
//!    ▲    said in the log   refused as busy   ◀──────────────────── fails: twice the pause
//!    └─────────────────────────────────────────────────────────────── succeeds: said in the log
//! ```
//!
//! Reads go on. A storage that closed itself over the failure is opened again by the server, and the pauses keep clients
//! from closing it over and over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use livestore_traits::{
    BackendProvider, BoxError, BoxStream, Capabilities, ConnectionStatus, ProviderError, Pull, PullError,
    PullPage, Push, PushAck, PushError, StoreId, SyncBackend,
};
use tokio::sync::Notify;

use crate::error::chain;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The outages of a storage, over all times that it was opened.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Whether there is an outage: pushes look here first, and a line that is only read is shared by all cores.
    is_out: AtomicBool,
    current: Mutex<Option<Outage>>,
    failed: Notify,
}

#[derive(Debug)]
struct Outage {
    reason: String,
    pause: Duration,
    retry_at: Instant,
}

impl Outages {
    /// Waits until something fails.
    pub(super) async fn failed(&self) {
        self.failed.notified().await;
    }

    /// Why a push is not to be tried now, if it is not.
    fn pause(&self, now: Instant) -> Option<String> {
        if !self.is_out.load(Ordering::Relaxed) {
            return None;
        }
        self.current().as_ref().filter(|outage| now < outage.retry_at).map(|outage| outage.reason.clone())
    }

    fn begin(&self, now: Instant, error: &BoxError) {
        let mut current = self.current();
        match &mut *current {
            // One of those that were tried together with the first.
            Some(outage) if now < outage.retry_at => {}
            Some(outage) => {
                outage.pause = (outage.pause * 2).min(LONGEST_PAUSE);
                outage.retry_at = now + outage.pause;
            }
            None => {
                // The error itself says what became of the storage, its source what is to be done about it.
                let reason = error.source().map_or_else(|| chain(&**error), chain);
                tracing::error!(
                    "the storage cannot be written; pushes are refused until it can, reads go on: {reason}"
                );
                *current = Some(Outage { reason, pause: FIRST_PAUSE, retry_at: now + FIRST_PAUSE });
                self.is_out.store(true, Ordering::Relaxed);
            }
        }
        self.failed.notify_one();
    }

    fn end(&self) {
        if self.is_out.load(Ordering::Relaxed) && self.current().take().is_some() {
            self.is_out.store(false, Ordering::Relaxed);
            tracing::info!("the storage can be written again");
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Outage>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider whose backends notice the outages of the storage that they share.
#[derive(Debug)]
pub(super) struct Noticing {
    inner: Arc<dyn BackendProvider>,
    outages: Arc<Outages>,
}

impl Noticing {
    pub(super) fn new(inner: Arc<dyn BackendProvider>, outages: Arc<Outages>) -> Self {
        Self { inner, outages }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackendProvider for Noticing {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        let inner = self.inner.open(store).await.inspect_err(|error| {
            // A new store is written when it is opened.
            if let ProviderError::Storage(source) = error {
                self.outages.begin(Instant::now(), source);
            }
        })?;
        Ok(Arc::new(NoticingBackend { inner, outages: self.outages.clone() }))
    }
}

#[derive(Debug)]
struct NoticingBackend {
    inner: Arc<dyn SyncBackend>,
    outages: Arc<Outages>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for NoticingBackend {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        if let Some(reason) = self.outages.pause(Instant::now()) {
            return Err(PushError::Busy(format!("its storage cannot be written: {reason}")));
        }
        let pushed = self.inner.push(push).await;
        match &pushed {
            Ok(_) => self.outages.end(),
            Err(PushError::Backend { source, .. }) => self.outages.begin(Instant::now(), source),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_each_try_that_fails_and_end_with_one_that_succeeds() {
        let outages = Outages::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let full: BoxError = "the disk is full".into();
        assert_eq!(outages.pause(at(0)), None);
        outages.begin(at(0), &full);
        // Pushes that were under way fail with it; they are not another try.
        outages.begin(at(5), &full);
        assert_eq!(outages.pause(at(999)).as_deref(), Some("the disk is full"));
        assert_eq!(outages.pause(at(1000)), None);
        outages.begin(at(1000), &full);
        assert!(outages.pause(at(2999)).is_some());
        assert_eq!(outages.pause(at(3000)), None);
        outages.end();
        outages.begin(at(3000), &full);
        assert_eq!(outages.pause(at(4000)), None);
        for _ in 0..10 {
            let retry_at = outages.current().as_ref().map(|outage| outage.retry_at);
            outages.begin(retry_at.unwrap(), &full);
        }
        assert_eq!(outages.current().as_ref().map(|outage| outage.pause), Some(LONGEST_PAUSE));
    }
}
