//! The handle.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use livestore_traits::{
    BoxStream, Capabilities, ConnectionStatus, Durability, Pull, PullError, PullPage, Push, PushAck,
    PushError, SyncBackend,
};
use livestore_wire::livestore::{Call, Exit, PushCall, ServerFrame};
use tokio::sync::{Mutex, watch};

use super::exchange::{Answer, Connections};
use super::pull::pages;
use crate::error::{Refusal, push_refused};
use crate::push::{Echo, Way, push};
use crate::{LiveStoreError, LiveStoreHttpConfig};

/// A store behind plain requests of LiveStore's.
///
/// Clones share their connections. Pushes and pulls must be polled within a tokio runtime with time and I/O.
///
/// A pull ends when it has caught up, [`Live`](livestore_traits::PullMode::Live) or not, as
/// [`Capabilities::live_pull`] says: the server answers at once, so whoever follows a log has to ask again, and the
/// engine does, at an interval of its configuration.
#[derive(Clone, Debug)]
pub struct LiveStoreHttp {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: LiveStoreHttpConfig,
    connections: Connections,
    status: watch::Sender<ConnectionStatus>,
    /// One push at a time, as LiveStore's own clients: two that overtake each other would refuse each other.
    pushing: Mutex<()>,
}

impl LiveStoreHttp {
    /// A backend that connects when it is first used.
    #[must_use]
    pub fn new(config: LiveStoreHttpConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                connections: Connections::new(&config),
                config,
                status: watch::Sender::new(ConnectionStatus::Offline),
                pushing: Mutex::new(()),
            }),
        }
    }
}

impl Shared {
    pub(super) async fn send(&self, call: Call) -> Result<Answer, LiveStoreError> {
        if *self.status.borrow() == ConnectionStatus::Offline {
            self.set_status(ConnectionStatus::Connecting);
        }
        let answer = self.connections.send(&self.config, call).await;
        self.set_status(match &answer {
            Ok(_) => ConnectionStatus::Connected,
            Err(_) => ConnectionStatus::Offline,
        });
        answer
    }

    fn set_status(&self, status: ConnectionStatus) {
        self.status.send_if_modified(|known| std::mem::replace(known, status) != status);
    }
}

#[async_trait]
impl Way for LiveStoreHttp {
    async fn append(&self, call: PushCall) -> Result<Option<Echo>, Refusal> {
        let turn = self.shared.pushing.lock().await;
        let mut answer = self.shared.send(Call::Push(call)).await?;
        let outcome = loop {
            match answer.next().await? {
                Some((ServerFrame::Exit { exit: Exit::Failed(failure), .. }, _)) => {
                    break Err(push_refused(failure));
                }
                Some((ServerFrame::Exit { .. }, _)) => break Ok(None),
                Some((ServerFrame::Defect(defect), _)) => break Err(LiveStoreError::defect(&defect).into()),
                Some((ServerFrame::Chunk { .. } | ServerFrame::Pong, _)) => {}
                None => break Err(LiveStoreError::Protocol("it did not answer the push".to_owned()).into()),
            }
        };
        drop(turn);
        outcome
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for LiveStoreHttp {
    fn capabilities(&self) -> Capabilities {
        // The wire does not tell what an acknowledgement means, so nothing is promised.
        let mut capabilities = Capabilities::new(Durability::Memory);
        capabilities.live_pull = false;
        capabilities
    }

    async fn push(&self, batch: Push) -> Result<PushAck, PushError> {
        push(self, batch).await
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        pages(self.shared.clone(), pull).boxed()
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
