//! What the server does while its storage cannot be written, as with a full disk.
//!
//! ```text
//!            a push fails                        the pause is over
//!  works ────────────────▶ paused: pushes are ────────────────────▶ the next push tries
//!    ▲    said in the log   refused as busy   ◀──────────────────── fails: twice the pause
//!    └─────────────────────────────────────────────────────────────── succeeds: said in the log
//! ```
//!
//! Reads go on. What fails for one store pauses that store; a storage that closed itself over the failure pauses all of
//! them. The server opens it again, and the pauses keep clients from closing it over and over.

use std::fmt;
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

/// Whether a storage has closed itself over a failure.
pub(super) type IsClosed = Arc<dyn Fn() -> bool + Send + Sync>;

/// The outages of a storage, over all times that it was opened.
#[derive(Debug)]
pub(super) struct Outages {
    storage: Pauses,
    closed: Notify,
}

impl Outages {
    pub(super) fn new() -> Self {
        Self { storage: Pauses::of("the storage".to_owned()), closed: Notify::new() }
    }

    /// Waits until the storage has closed itself.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    fn begin(&self, now: Instant, error: &BoxError) {
        self.storage.begin(now, error);
        self.closed.notify_one();
    }
}

/// The pauses of one storage or store.
#[derive(Debug)]
struct Pauses {
    whose: String,
    /// Whether there is an outage: pushes look here first, and a line that is only read is shared by all cores.
    is_out: AtomicBool,
    current: Mutex<Option<Outage>>,
}

#[derive(Debug)]
struct Outage {
    reason: String,
    pause: Duration,
    retry_at: Instant,
}

impl Pauses {
    fn of(whose: String) -> Self {
        Self { whose, is_out: AtomicBool::new(false), current: Mutex::new(None) }
    }

    /// Why a push is not to be tried now, if it is not.
    fn reason_to_wait(&self, now: Instant) -> Option<String> {
        if !self.is_out.load(Ordering::Relaxed) {
            return None;
        }
        let current = self.current();
        let outage = current.as_ref().filter(|outage| now < outage.retry_at)?;
        Some(format!("{} cannot be written: {}", self.whose, outage.reason))
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
                let whose = &self.whose;
                tracing::error!(
                    "{whose} cannot be written; pushes are refused until it can, reads go on: {reason}"
                );
                *current = Some(Outage { reason, pause: FIRST_PAUSE, retry_at: now + FIRST_PAUSE });
                self.is_out.store(true, Ordering::Relaxed);
            }
        }
    }

    fn end(&self) {
        if self.is_out.load(Ordering::Relaxed) && self.current().take().is_some() {
            self.is_out.store(false, Ordering::Relaxed);
            tracing::info!("{} can be written again", self.whose);
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Outage>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider whose backends notice outages.
pub(super) struct Noticing {
    inner: Arc<dyn BackendProvider>,
    outages: Arc<Outages>,
    is_closed: IsClosed,
}

impl Noticing {
    pub(super) fn new(inner: Arc<dyn BackendProvider>, outages: Arc<Outages>, is_closed: IsClosed) -> Self {
        Self { inner, outages, is_closed }
    }
}

impl fmt::Debug for Noticing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noticing").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackendProvider for Noticing {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        let inner = self.inner.open(store).await.inspect_err(|error| {
            // A new store is written when it is opened.
            if let ProviderError::Storage(source) = error
                && (self.is_closed)()
            {
                self.outages.begin(Instant::now(), source);
            }
        })?;
        Ok(Arc::new(NoticingBackend {
            inner,
            store: Pauses::of(format!("store {store}")),
            outages: self.outages.clone(),
            is_closed: self.is_closed.clone(),
        }))
    }
}

struct NoticingBackend {
    inner: Arc<dyn SyncBackend>,
    store: Pauses,
    outages: Arc<Outages>,
    is_closed: IsClosed,
}

impl NoticingBackend {
    /// A storage that closed itself is out for all stores. Any other failure may be one store's own, for example a
    /// damaged page, and must not keep the others from being written.
    fn begin_outage(&self, now: Instant, error: &BoxError) {
        if (self.is_closed)() {
            self.outages.begin(now, error);
        } else {
            self.store.begin(now, error);
        }
    }
}

impl fmt::Debug for NoticingBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoticingBackend").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for NoticingBackend {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let now = Instant::now();
        let wait = self.outages.storage.reason_to_wait(now).or_else(|| self.store.reason_to_wait(now));
        if let Some(reason) = wait {
            return Err(PushError::Busy(reason));
        }
        let pushed = self.inner.push(push).await;
        match &pushed {
            Ok(_) => {
                self.outages.storage.end();
                self.store.end();
            }
            Err(PushError::Backend { source, .. }) => self.begin_outage(Instant::now(), source),
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
        let outages = Pauses::of("the storage".to_owned());
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let full: BoxError = "the disk is full".into();
        assert_eq!(outages.reason_to_wait(at(0)), None);
        outages.begin(at(0), &full);
        // Pushes that were under way fail with it; they are not another try.
        outages.begin(at(5), &full);
        assert_eq!(
            outages.reason_to_wait(at(999)).as_deref(),
            Some("the storage cannot be written: the disk is full")
        );
        assert_eq!(outages.reason_to_wait(at(1000)), None);
        outages.begin(at(1000), &full);
        assert!(outages.reason_to_wait(at(2999)).is_some());
        assert_eq!(outages.reason_to_wait(at(3000)), None);
        outages.end();
        outages.begin(at(3000), &full);
        assert_eq!(outages.reason_to_wait(at(4000)), None);
        for _ in 0..10 {
            let retry_at = outages.current().as_ref().map(|outage| outage.retry_at);
            outages.begin(retry_at.unwrap(), &full);
        }
        assert_eq!(outages.current().as_ref().map(|outage| outage.pause), Some(LONGEST_PAUSE));
    }
}
