//! The handle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures::stream;
use futures::{FutureExt, StreamExt};
use livestore_dial::keep_connected;
use livestore_traits::{
    BoxStream, Capabilities, ConnectionStatus, Durability, Pull, PullError, PullPage, Push, PushAck,
    PushError, SyncBackend,
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::link::{Command, Link};
use crate::pull::PullStream;
use crate::{WsConfig, WsError};

/// A store behind a WebSocket.
///
/// Clones share one connection, which ends when the last clone and the last running pull are dropped. It is driven by
/// a task of the tokio runtime of the first call; pushes and pulls that are polled outside of one panic.
#[derive(Clone, Debug)]
pub struct WsBackend {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: WsConfig,
    /// The way to the link, once the first call has started it.
    commands: OnceLock<mpsc::UnboundedSender<Command>>,
    state: watch::Sender<LinkState>,
    push_slots: Semaphore,
    last_id: AtomicU64,
}

/// What the link tells its handles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkState {
    pub(crate) status: ConnectionStatus,
    /// As the server said last.
    pub(crate) capabilities: Capabilities,
}

impl WsBackend {
    /// A backend that connects when it is first used.
    #[must_use]
    pub fn new(config: WsConfig) -> Self {
        let state = LinkState {
            status: ConnectionStatus::Offline,
            capabilities: Capabilities::new(Durability::Memory),
        };
        Self {
            shared: Arc::new(Shared {
                push_slots: Semaphore::new(config.max_pushes_in_flight),
                config,
                commands: OnceLock::new(),
                state: watch::Sender::new(state),
                last_id: AtomicU64::new(0),
            }),
        }
    }
}

impl Shared {
    fn commands(&self) -> &mpsc::UnboundedSender<Command> {
        self.commands.get_or_init(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let link = Link::new(self.config.clone(), self.state.clone());
            let pace = link.pace();
            tokio::spawn(keep_connected(link, pace, receiver));
            sender
        })
    }

    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for WsBackend {
    fn capabilities(&self) -> Capabilities {
        self.shared.state.borrow().capabilities
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let slot = self.shared.push_slots.acquire().await;
        let (answer, answered) = oneshot::channel();
        let id = self.shared.next_id();
        if self.shared.commands().send(Command::Push { id, push, answer }).is_err() {
            return Err(WsError::NoRuntime.push_not_sent());
        }
        // A link that went away with the push may have sent it.
        let answer =
            answered.await.unwrap_or_else(|_| Err(PushError::Unacknowledged(WsError::NoRuntime.into())));
        drop(slot);
        answer
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let shared = self.shared.clone();
        // Starting it lazily lets a pull be made outside of a runtime.
        async move {
            PullStream::start(
                shared.next_id(),
                pull,
                shared.config.pull_window_bytes,
                shared.commands().clone(),
            )
        }
        .flatten_stream()
        .boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        let states = self.shared.state.subscribe();
        stream::unfold((states, None), |(mut states, last)| async move {
            // Also the capabilities change; only another status is news.
            let state = states.wait_for(|state| Some(state.status) != last).await.ok()?.status;
            Some((state, (states, Some(state))))
        })
        .boxed()
    }
}
