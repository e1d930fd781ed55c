//! Events, batches and backends for the tests of the wrappers.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};
use livestore_backend_memory::{LogConfig, MemoryBackend};
use livestore_layers::RetryConfig;
use livestore_traits::{
    Args, BoxStream, Capabilities, ClientId, ConnectionStatus, Cursor, EventName, GlobalSeq, Limits, Pull,
    PullError, PullMode, PullPage, Push, PushAck, PushError, SessionId, SyncBackend, SyncedEvent,
};

/// A push of `count` events after `e<after>`.
pub(crate) fn batch(after: u64, count: u64) -> Push {
    let events = (after + 1..=after + count).map(|seq| SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq - 1),
        name: EventName::new("v1.Counted").unwrap(),
        args: Args::parse(seq.to_string()).unwrap(),
        client_id: ClientId::new("client").unwrap(),
        session_id: SessionId::new("session").unwrap(),
        commit: None,
        unit_end: true,
        created_at: None,
    });
    Push::new(None, GlobalSeq(after), None, events.collect())
}

/// A backend with `count` events, on pages of one event each.
pub(crate) async fn backend_with(count: u64) -> MemoryBackend {
    let limits = Limits { max_batch_events: 1, ..Limits::DEFAULT };
    let backend = MemoryBackend::with_config(LogConfig { limits, ..LogConfig::default() });
    for after in 0..count {
        backend.push(batch(after, 1)).await.unwrap();
    }
    backend
}

pub(crate) fn pull(mode: PullMode) -> Pull {
    Pull::new(None, Cursor::start(), mode)
}

/// The numbers of all events that a pull from the start delivers, and how it ended.
pub(crate) async fn pull_all(backend: &dyn SyncBackend) -> (Vec<u64>, Result<(), PullError>) {
    let mut pages = backend.pull(pull(PullMode::Once));
    let mut seqs = Vec::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => seqs.extend(page.events.iter().map(|event| event.seq.0)),
            Err(error) => return (seqs, Err(error)),
        }
    }
    (seqs, Ok(()))
}

/// All events of a backend without faults.
pub(crate) async fn log(backend: &dyn SyncBackend) -> Vec<SyncedEvent> {
    let pages = backend.pull(pull(PullMode::Once));
    pages.flat_map(|page| stream::iter(page.unwrap().events.to_vec())).collect().await
}

/// The next `count` events of a pull.
pub(crate) async fn take(
    pages: &mut BoxStream<'static, Result<PullPage, PullError>>,
    count: usize,
) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let page = pages.next().await.unwrap().unwrap();
        seqs.extend(page.events.iter().map(|event| event.seq.0));
    }
    seqs
}

pub(crate) async fn head(backend: &dyn SyncBackend) -> u64 {
    log(backend).await.last().map_or(0, |event| event.seq.0)
}

pub(crate) fn config(seed: u64, max_attempts: u32) -> RetryConfig {
    let mut config = RetryConfig::new(seed);
    config.max_attempts = NonZeroU32::new(max_attempts).unwrap();
    config
}

/// A backend whose every pull breaks after a while, and that can be replaced.
#[derive(Debug)]
pub(crate) struct Breaking {
    pub(crate) backend: Mutex<MemoryBackend>,
    pub(crate) breaks_after: Duration,
    pub(crate) pulls: AtomicUsize,
}

impl Breaking {
    pub(crate) fn new(backend: MemoryBackend, breaks_after: Duration) -> Self {
        Self { backend: Mutex::new(backend), breaks_after, pulls: AtomicUsize::new(0) }
    }

    fn current(&self) -> MemoryBackend {
        self.backend.lock().unwrap().clone()
    }
}

#[async_trait]
impl SyncBackend for Breaking {
    fn capabilities(&self) -> Capabilities {
        self.current().capabilities()
    }
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.current().push(push).await
    }
    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        self.pulls.fetch_add(1, Ordering::Relaxed);
        let breaks = tokio::time::sleep(self.breaks_after);
        let broken = stream::once(async { Err(PullError::Offline("broken".into())) });
        self.current().pull(pull).take_until(breaks).chain(broken).boxed()
    }
    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.current().connection()
    }
}
