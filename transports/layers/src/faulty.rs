//! Makes faults, as a network and a busy server would.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};
use livestore_traits::{
    BoxError, BoxStream, Capabilities, ConnectionStatus, Pull, PullError, PullPage, Push, PushAck, PushError,
    SyncBackend,
};
use tokio::time::sleep;

use crate::fault::{Fault, FaultRates, Faults, PageFate, PullScript, PushFate, WaitFate};

/// A backend that fails on purpose: as scripted, then by chance.
///
/// # Example
/// ```
/// # use livestore_layers::{Fault, FaultRates, Faulty};
/// # fn both<B: livestore_traits::SyncBackend + Clone>(backend: B) {
/// // The second push is stored but never acknowledged; the first pull breaks after two pages.
/// let scripted = Faulty::scripted(
///     backend.clone(),
///     [Fault::PassPush, Fault::LoseAnswer, Fault::CutPull { after_pages: 2 }],
/// );
///
/// // One push of ten is never acknowledged; the same ones for the same seed.
/// let seeded = Faulty::seeded(backend, 42, FaultRates { lose_answer: 0.1, ..FaultRates::default() });
/// seeded.heal();
/// # }
/// ```
#[derive(Debug)]
pub struct Faulty<B> {
    inner: B,
    faults: Arc<Mutex<Faults>>,
}

impl<B: SyncBackend> Faulty<B> {
    /// Fails as `script` says, push by push and pull by pull; what comes after the script goes through.
    #[must_use]
    pub fn scripted(backend: B, script: impl IntoIterator<Item = Fault>) -> Self {
        let mut faults = Faults::new(FaultRates::default(), 0);
        script.into_iter().for_each(|fault| faults.script(fault));
        Self { inner: backend, faults: Arc::new(Mutex::new(faults)) }
    }

    /// Fails by chance. The same operations in the same order meet the same faults for the same seed.
    #[must_use]
    pub fn seeded(backend: B, seed: u64, rates: FaultRates) -> Self {
        Self { inner: backend, faults: Arc::new(Mutex::new(Faults::new(rates, seed))) }
    }

    /// Adds a fault to the end of the script.
    pub fn inject(&self, fault: Fault) {
        lock(&self.faults).script(fault);
    }

    /// Ends all faults: the script is dropped and nothing fails by chance any more. Running pulls stay broken or silent
    /// if they are.
    pub fn heal(&self) {
        lock(&self.faults).heal();
    }

    /// What is wrapped.
    #[must_use]
    pub const fn inner(&self) -> &B {
        &self.inner
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: SyncBackend> SyncBackend for Faulty<B> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let fate = lock(&self.faults).next_push();
        match fate {
            PushFate::Pass => self.inner.push(push).await,
            PushFate::Fail => Err(PushError::Offline(injected())),
            PushFate::Busy => Err(PushError::Busy(INJECTED.into())),
            PushFate::LoseAnswer => {
                // Whatever the answer was, a refusal too, it is lost.
                drop(self.inner.push(push).await);
                Err(PushError::Unacknowledged(injected()))
            }
            PushFate::Twice => {
                drop(self.inner.push(push.clone()).await);
                self.inner.push(push).await
            }
            PushFate::Delay(by) => {
                sleep(by).await;
                self.inner.push(push).await
            }
        }
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let script = lock(&self.faults).next_pull();
        let pull = FaultyPull {
            inner: self.inner.pull(pull),
            faults: Arc::clone(&self.faults),
            script,
            page: 0,
            again: None,
            is_over: false,
        };
        stream::unfold(pull, |mut pull| async move { pull.next().await.map(|item| (item, pull)) }).boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.inner.connection()
    }
}

struct FaultyPull {
    inner: BoxStream<'static, Result<PullPage, PullError>>,
    faults: Arc<Mutex<Faults>>,
    script: Option<PullScript>,
    /// How many pages came from the inner pull.
    page: usize,
    /// A page that is delivered once more.
    again: Option<PullPage>,
    is_over: bool,
}

impl FaultyPull {
    async fn next(&mut self) -> Option<Result<PullPage, PullError>> {
        if let Some(page) = self.again.take() {
            return Some(Ok(page));
        }
        while !self.is_over {
            let fate = lock(&self.faults).before_page(self.script, self.page);
            match fate {
                WaitFate::Pass => {}
                WaitFate::Cut => {
                    self.is_over = true;
                    return Some(Err(PullError::Offline(injected())));
                }
                WaitFate::Stall => std::future::pending().await,
            }
            let page = match self.inner.next().await? {
                Ok(page) => page,
                Err(error) => return Some(Err(error)),
            };
            let fate = lock(&self.faults).on_page(self.script, self.page);
            self.page += 1;
            match fate {
                PageFate::Pass => return Some(Ok(page)),
                PageFate::Repeat => {
                    self.again = Some(page.clone());
                    return Some(Ok(page));
                }
                PageFate::Skip => {}
                PageFate::Delay(by) => {
                    sleep(by).await;
                    return Some(Ok(page));
                }
            }
        }
        None
    }
}

const INJECTED: &str = "an injected fault";

fn injected() -> BoxError {
    INJECTED.into()
}

fn lock(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    // The faults stay usable whatever panicked: no decision leaves them half made.
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}
