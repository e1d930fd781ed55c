//! Hides faults that pass.
//!
//! ```text
//! push   error ──retryable, attempts left──> wait ──> the same push again
//! pull   broken ─────────────────────────> wait ──> a new pull from the last delivered cursor, repeats trimmed
//! ```
//!
//! What is retryable is what [`Recovery`] says, never the variant of an error. Everything else passes through.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};
use livestore_traits::{
    BoxError, BoxStream, Capabilities, ConnectionStatus, PageInfo, Pull, PullError, PullMode, PullPage, Push,
    PushAck, PushError, Recovery, SyncBackend,
};
use tokio::time::{Instant, sleep};

use crate::RetryConfig;
use crate::backoff::Backoff;
use crate::trim::{Trimmed, trim};

/// Repeats what failed for a passing reason, on tokio's clock.
///
/// # Pushes
/// A push is repeated after an error whose recovery is [`Recovery::Backoff`], where nothing happened, and after
/// [`Recovery::PullThenRetry`], where its outcome is unknown. The latter is safe only because the contract of
/// [`SyncBackend`] makes pushes idempotent: a batch that was stored is acknowledged again, wherever the head is. Once
/// the outcome of any attempt was unknown, giving up says so, even if the last attempt surely did nothing.
///
/// # Pulls
/// A pull that breaks is opened again from the last delivered cursor with the backend id it came with, so a backend
/// that was replaced meanwhile answers `Diverged`. The reader sees one pull, strictly ascending and without gap:
/// repeats are trimmed, and a gap counts as a break. So do the end of a live pull, and the end of any other before
/// it caught up. The empty page with which a reopened live pull may begin is passed on, as the sign of life it is.
///
/// Silence is no fault here: whoever knows how long a peer may be silent, a transport or the engine, ends the pull.
///
/// An event delivered, or a pull that lasted [`RetryConfig::max_delay`], begins the count of attempts anew; a
/// backend that accepts pulls only to drop them is not asked faster and faster.
#[derive(Debug)]
pub struct Retry<B> {
    inner: Arc<B>,
    config: RetryConfig,
    jitter: Mutex<fastrand::Rng>,
}

impl<B: SyncBackend> Retry<B> {
    /// Wraps `backend`.
    #[must_use]
    pub fn new(backend: B, config: RetryConfig) -> Self {
        let jitter = Mutex::new(fastrand::Rng::with_seed(config.seed));
        Self { inner: Arc::new(backend), config, jitter }
    }

    /// Each push and pull draws from a generator of its own, so that running side by side they do not disturb each
    /// other's waits.
    fn backoff(&self) -> Backoff {
        let jitter = self.jitter.lock().unwrap_or_else(PoisonError::into_inner).fork();
        Backoff::new(self.config.clone(), jitter)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: SyncBackend> SyncBackend for Retry<B> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    /// Pushes until there is an answer, at most [`RetryConfig::max_attempts`] times.
    ///
    /// # Errors
    /// The last attempt's, except that [`PushError::Unacknowledged`] is given if an attempt before may have stored the
    /// batch.
    ///
    /// # Cancel safety
    /// As of the inner backend: dropping the future leaves the outcome unknown. Dropped while it waits between two
    /// attempts, it makes no further one.
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let mut backoff = self.backoff();
        let mut may_be_stored = false;
        loop {
            let error = match self.inner.push(push.clone()).await {
                Ok(ack) => return Ok(ack),
                Err(error) => error,
            };
            let nothing_happened = match error.recovery() {
                Recovery::Backoff => true,
                Recovery::PullThenRetry => false,
                Recovery::Rebase
                | Recovery::Diverged
                | Recovery::NewClientId
                | Recovery::Drop
                | Recovery::Unauthorized
                | Recovery::Fatal => return Err(error),
            };
            may_be_stored |= !nothing_happened;
            match backoff.after_failure() {
                Some(wait) => sleep(wait).await,
                None if may_be_stored && nothing_happened => {
                    return Err(PushError::Unacknowledged(Box::new(error)));
                }
                None => return Err(error),
            }
        }
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let pull = Reopening {
            // Where live pulls are not offered, the end of one is no fault.
            endless: pull.mode == PullMode::Live && self.inner.capabilities().live_pull,
            inner: Arc::clone(&self.inner),
            pull,
            open: None,
            backoff: self.backoff(),
            last_info: None,
            is_over: false,
        };
        stream::unfold(pull, |mut pull| async move { pull.next().await.map(|item| (item, pull)) }).boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.inner.connection()
    }
}

/// One pull as its reader sees it, over as many pulls of the inner backend as it takes.
struct Reopening<B> {
    inner: Arc<B>,
    /// What is still wanted: moves on with each delivered page.
    pull: Pull,
    endless: bool,
    open: Option<Open>,
    backoff: Backoff,
    /// What the last delivered page said is still to come; `None` before the first.
    last_info: Option<PageInfo>,
    is_over: bool,
}

struct Open {
    pages: BoxStream<'static, Result<PullPage, PullError>>,
    since: Instant,
}

impl<B: SyncBackend> Reopening<B> {
    async fn next(&mut self) -> Option<Result<PullPage, PullError>> {
        while !self.is_over {
            let broken = match self.read().await {
                Some(Ok(page)) => match trim(page, self.pull.cursor.after) {
                    Trimmed::Fresh(page) if self.is_wanted(&page) => return Some(Ok(self.deliver(page))),
                    Trimmed::Fresh(_) | Trimmed::Known => continue,
                    Trimmed::Gap => broken("events are missing in a pull"),
                },
                Some(Err(error)) if error.recovery() != Recovery::Backoff => return self.end_with(error),
                // A pull that breaks after its last page has given all that it should.
                Some(Err(_)) | None if self.may_end() => return None,
                Some(Err(error)) => error,
                None => broken("a pull ended early"),
            };
            self.open = None;
            match self.backoff.after_failure() {
                Some(wait) => sleep(wait).await,
                None => return self.end_with(broken),
            }
        }
        None
    }

    /// The next item of the inner pull, which is opened if it is not.
    async fn read(&mut self) -> Option<Result<PullPage, PullError>> {
        let open = self
            .open
            .get_or_insert_with(|| Open { pages: self.inner.pull(self.pull.clone()), since: Instant::now() });
        let item = open.pages.next().await;
        if open.since.elapsed() >= self.backoff.proves_itself_after() {
            self.backoff.reset();
        }
        item
    }

    /// To a live pull an empty page is a sign of life; a pull that ends has one only at its beginning.
    fn is_wanted(&self, page: &PullPage) -> bool {
        page.through > page.after || self.last_info.is_none() || self.pull.mode == PullMode::Live
    }

    fn deliver(&mut self, page: PullPage) -> PullPage {
        if page.through > page.after {
            self.backoff.reset();
        }
        self.pull.backend_id = Some(page.backend_id.clone());
        self.pull.cursor = page.cursor.clone();
        self.last_info = Some(page.info);
        page
    }

    fn may_end(&self) -> bool {
        let caught_up = match self.last_info {
            Some(PageInfo::CaughtUp) => true,
            // Without page info the end itself is what says so.
            Some(PageInfo::More { .. }) => !self.inner.capabilities().page_info,
            None => false,
        };
        caught_up && !self.endless
    }

    fn end_with(&mut self, error: PullError) -> Option<Result<PullPage, PullError>> {
        self.is_over = true;
        self.open = None;
        Some(Err(error))
    }
}

fn broken(how: &str) -> PullError {
    PullError::Offline(BoxError::from(how))
}
