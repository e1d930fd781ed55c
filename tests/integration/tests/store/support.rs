//! Backends that misbehave on purpose, and the short times under which many tries fit into a test.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use livestore_engine::{Store, StoreConfig};
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::notebook;
use livestore_traits::{
    BoxStream, Capabilities, ConnectionStatus, Pull, PullError, PullPage, Push, PushAck, PushError,
    SyncBackend,
};
use tokio::sync::watch;

/// Longer than anything takes: reaching it is a hang.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Tries again at once.
pub(crate) fn eager() -> StoreConfig {
    let mut config = StoreConfig::default();
    config.leader.backoff_min = Duration::from_millis(1);
    config.leader.backoff_max = Duration::from_millis(10);
    config.leader.poll_interval = Duration::from_millis(5);
    config
}

/// A client with a log of its own.
pub(crate) async fn client(backend: impl SyncBackend) -> Store {
    notebook(&MemoryStorage::default()).config(eager()).upstream(backend).start().await.unwrap()
}

type OnPush = Box<dyn Fn(&Push) -> Result<(), PushError> + Send + Sync>;
type OnPull = Box<dyn Fn(&Pull) -> Result<(), PullError> + Send + Sync>;

/// A backend that refuses pushes and pulls as it is told to, and can less than the one inside.
pub(crate) struct Tampered<B> {
    inner: B,
    on_push: OnPush,
    on_pull: OnPull,
    live_pull: bool,
}

impl<B: SyncBackend> Tampered<B> {
    pub(crate) fn new(inner: B) -> Self {
        let (on_push, on_pull) = (Box::new(|_: &Push| Ok(())), Box::new(|_: &Pull| Ok(())));
        Self { inner, on_push, on_pull, live_pull: true }
    }

    pub(crate) fn on_push(
        mut self,
        on_push: impl Fn(&Push) -> Result<(), PushError> + Send + Sync + 'static,
    ) -> Self {
        self.on_push = Box::new(on_push);
        self
    }

    pub(crate) fn on_pull(
        mut self,
        on_pull: impl Fn(&Pull) -> Result<(), PullError> + Send + Sync + 'static,
    ) -> Self {
        self.on_pull = Box::new(on_pull);
        self
    }

    pub(crate) fn polled(mut self) -> Self {
        self.live_pull = false;
        self
    }
}

impl<B: fmt::Debug> fmt::Debug for Tampered<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tampered").field(&self.inner).finish()
    }
}

#[async_trait]
impl<B: SyncBackend> SyncBackend for Tampered<B> {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.live_pull &= self.live_pull;
        capabilities
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        (self.on_push)(&push)?;
        self.inner.push(push).await
    }

    fn pull(&self, mut pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        if let Err(error) = (self.on_pull)(&pull) {
            return futures::stream::iter([Err(error)]).boxed();
        }
        if !self.live_pull {
            pull.mode = livestore_traits::PullMode::Once;
        }
        self.inner.pull(pull)
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.inner.connection()
    }
}

/// A backend that is replaced by another one while clients use it.
#[derive(Clone, Debug)]
pub(crate) struct Replaceable(Arc<Mutex<watch::Sender<Arc<dyn SyncBackend>>>>);

impl Replaceable {
    pub(crate) fn new(backend: impl SyncBackend) -> Self {
        let (sender, _) = watch::channel(Arc::new(backend) as Arc<dyn SyncBackend>);
        Self(Arc::new(Mutex::new(sender)))
    }

    /// Ends the pulls on the old one.
    pub(crate) fn replace(&self, backend: impl SyncBackend) {
        self.0.lock().unwrap().send_replace(Arc::new(backend));
    }

    fn current(&self) -> (Arc<dyn SyncBackend>, watch::Receiver<Arc<dyn SyncBackend>>) {
        let mut receiver = self.0.lock().unwrap().subscribe();
        let backend = receiver.borrow_and_update().clone();
        (backend, receiver)
    }
}

#[async_trait]
impl SyncBackend for Replaceable {
    fn capabilities(&self) -> Capabilities {
        self.current().0.capabilities()
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.current().0.push(push).await
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let (backend, mut receiver) = self.current();
        let replaced = async move { receiver.changed().map(drop).await };
        let cut = futures::stream::iter([Err(PullError::Offline("the connection was cut".into()))]);
        backend.pull(pull).take_until(replaced).chain(cut).boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.current().0.connection()
    }
}
