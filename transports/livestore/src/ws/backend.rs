//! The handle.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures::stream;
use futures::{FutureExt, StreamExt};
use livestore_dial::keep_connected;
use livestore_traits::{
    BoxStream, Capabilities, ConnectionStatus, Durability, Pull, PullError, PullPage, Push, PushAck,
    PushError, SyncBackend,
};
use livestore_wire::livestore::PushCall;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::handshake::{Connect, Handshake};
use super::link::{Command, Commander, Link};
use super::pull::pages;
use crate::error::Refusal;
use crate::push::{Echo, Way, push};
use crate::{LiveStoreError, LiveStoreWsConfig};

/// A store behind a WebSocket of LiveStore's.
///
/// Clones share one connection, which ends when the last clone and the last running pull are dropped. It is driven by
/// a task of the tokio runtime of the first call; pushes and pulls that are polled outside of one panic.
#[derive(Clone, Debug)]
pub struct LiveStoreWs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<LiveStoreWsConfig>,
    /// The way to the link, once the first call has started it.
    commander: OnceLock<Commander>,
    status: watch::Sender<ConnectionStatus>,
    push_slots: Semaphore,
}

impl LiveStoreWs {
    /// A backend that connects when it is first used.
    #[must_use]
    pub fn new(config: LiveStoreWsConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                push_slots: Semaphore::new(config.max_pushes_in_flight),
                config: Arc::new(config),
                commander: OnceLock::new(),
                status: watch::Sender::new(ConnectionStatus::Offline),
            }),
        }
    }

    /// A backend whose connections are made by `connect`.
    #[cfg(test)]
    pub(super) fn with_connect(config: LiveStoreWsConfig, connect: impl Connect) -> Self {
        let this = Self::new(config);
        let _ = this.shared.commander.set(this.shared.start(connect));
        this
    }
}

impl Shared {
    fn commander(&self) -> &Commander {
        self.commander.get_or_init(|| self.start(Handshake::new(self.config.clone())))
    }

    fn start(&self, connect: impl Connect) -> Commander {
        let (sender, receiver) = mpsc::unbounded_channel();
        let link = Link::new(self.config.clone(), connect, self.status.clone());
        let pace = link.pace();
        tokio::spawn(keep_connected(link, pace, receiver));
        Commander::new(sender)
    }
}

#[async_trait]
impl Way for LiveStoreWs {
    async fn append(&self, call: PushCall) -> Result<Option<Echo>, Refusal> {
        let slot = self.shared.push_slots.acquire().await;
        let (answer, answered) = oneshot::channel();
        let commander = self.shared.commander();
        if !commander.send(Command::Push { id: commander.next_id(), call, answer }) {
            return Err(Refusal::Other(LiveStoreError::NoRuntime.push_not_sent()));
        }
        // A link that went away with the push may have sent it.
        let answer = answered.await.unwrap_or_else(|_| Err(LiveStoreError::NoRuntime.into()));
        drop(slot);
        answer
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for LiveStoreWs {
    fn capabilities(&self) -> Capabilities {
        // The wire does not tell what an acknowledgement means, so nothing is promised.
        Capabilities::new(Durability::Memory)
    }

    async fn push(&self, batch: Push) -> Result<PushAck, PushError> {
        push(self, batch).await
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let shared = self.shared.clone();
        // Starting it lazily lets a pull be made outside of a runtime.
        async move { pages(pull, shared.config.pull_window_bytes, shared.commander().clone()) }
            .flatten_stream()
            .boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        let statuses = self.shared.status.subscribe();
        stream::unfold((statuses, None), |(mut statuses, last)| async move {
            let status = *statuses.wait_for(|status| Some(*status) != last).await.ok()?;
            Some((status, (statuses, Some(status))))
        })
        .boxed()
    }
}
