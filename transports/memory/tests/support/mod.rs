//! Events, batches and links for the tests of the transport.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use livestore_backend_memory::{LogConfig, MemoryBackend};
use livestore_traits::{
    Args, BoxStream, ClientId, Cursor, EventName, GlobalSeq, Limits, Pull, PullError, PullMode, PullPage,
    Push, SessionId, SyncBackend, SyncedEvent,
};
use livestore_transport_memory::{LinkConfig, MemoryTransport, Network};

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// A push of one event after `e<after>`.
pub(crate) fn batch(after: u64) -> Push {
    let event = SyncedEvent {
        seq: GlobalSeq(after + 1),
        parent: GlobalSeq(after),
        name: EventName::new("v1.Counted").unwrap(),
        args: Args::null(),
        client_id: ClientId::new("client").unwrap(),
        session_id: SessionId::new("session").unwrap(),
        commit: None,
        unit_end: true,
        created_at: None,
    };
    Push::new(None, GlobalSeq(after), None, vec![event])
}

/// A backend with `count` events, on pages of one event each.
pub(crate) async fn backend_with(count: u64) -> MemoryBackend {
    let limits = Limits { max_batch_events: 1, ..Limits::DEFAULT };
    let backend = MemoryBackend::with_config(LogConfig { limits, ..LogConfig::default() });
    for after in 0..count {
        backend.push(batch(after)).await.unwrap();
    }
    backend
}

/// A transport over a link of its own to `backend`.
pub(crate) fn connect(backend: &MemoryBackend, seed: u64, config: LinkConfig) -> Arc<MemoryTransport> {
    let network = Network::new(seed);
    network.configure(config);
    Arc::new(network.connect(Arc::new(backend.clone()), "client"))
}

pub(crate) fn pull(
    transport: &dyn SyncBackend,
    mode: PullMode,
) -> BoxStream<'static, Result<PullPage, PullError>> {
    transport.pull(Pull::new(None, Cursor::start(), mode))
}

/// The numbers of all events that a pull delivers, and how it ended.
pub(crate) async fn pull_all(
    mut pages: BoxStream<'static, Result<PullPage, PullError>>,
) -> (Vec<u64>, Result<(), PullError>) {
    let mut seqs = Vec::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => seqs.extend(page.events.iter().map(|event| event.seq.0)),
            Err(error) => return (seqs, Err(error)),
        }
    }
    (seqs, Ok(()))
}

pub(crate) async fn head(backend: &MemoryBackend) -> u64 {
    pull_all(pull(backend, PullMode::Once)).await.0.last().copied().unwrap_or(0)
}
