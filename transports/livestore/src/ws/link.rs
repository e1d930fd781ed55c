//! What the handles ask for, and how it fares without a connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use livestore_dial::{Commands, Ended, Pace, Protocol};
use livestore_traits::{ConnectionStatus, PullError};
use livestore_wire::livestore::{PullCall, PullItem, PushCall};
use tokio::sync::{mpsc, oneshot, watch};

use super::connection::Connection;
use super::handshake::Connect;
use crate::error::Refusal;
use crate::push::Echo;
use crate::{LiveStoreError, LiveStoreWsConfig};

/// What handles ask of their link. Pushes are bounded by the handle, pulls by its user, the others by those.
#[derive(Debug)]
pub(super) enum Command {
    Push {
        id: u64,
        call: PushCall,
        answer: oneshot::Sender<Result<Option<Echo>, Refusal>>,
    },
    Pull {
        id: u64,
        call: PullCall,
        deliveries: mpsc::UnboundedSender<Delivery>,
    },
    /// So many bytes of a pull were read.
    Taken {
        id: u64,
        bytes: usize,
    },
    Cancel {
        id: u64,
    },
}

/// What a pull gets. The window bounds how many items wait.
#[derive(Debug)]
pub(super) enum Delivery {
    Item {
        item: PullItem,
        bytes: usize,
    },
    /// The reader is too slow for what comes by itself: it is to ask again once it has read what is there.
    Lagging,
    /// The server has ended it.
    End,
    Failed(PullError),
}

/// The handles' way to their link.
#[derive(Clone, Debug)]
pub(super) struct Commander {
    commands: mpsc::UnboundedSender<Command>,
    next_id: Arc<AtomicU64>,
}

impl Commander {
    pub(super) fn new(commands: mpsc::UnboundedSender<Command>) -> Self {
        Self { commands, next_id: Arc::new(AtomicU64::new(0)) }
    }

    /// Whether there is a link that takes it.
    pub(super) fn send(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    /// Names a request; unlike the server, which needs that for a connection only, for ever.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// Speaks LiveStore's protocol over connections that `connect` makes.
pub(super) struct Link<C> {
    config: Arc<LiveStoreWsConfig>,
    connect: C,
    status: watch::Sender<ConnectionStatus>,
}

impl<C: Connect> Link<C> {
    pub(super) const fn new(
        config: Arc<LiveStoreWsConfig>,
        connect: C,
        status: watch::Sender<ConnectionStatus>,
    ) -> Self {
        Self { config, connect, status }
    }

    pub(super) fn pace(&self) -> Pace {
        Pace {
            connect_timeout: self.config.connect_timeout,
            min_backoff: self.config.min_backoff,
            max_backoff: self.config.max_backoff,
        }
    }
}

impl<C> Link<C> {
    fn set_status(&self, status: ConnectionStatus) {
        self.status.send_if_modified(|known| std::mem::replace(known, status) != status);
    }
}

impl<C> Drop for Link<C> {
    fn drop(&mut self) {
        self.set_status(ConnectionStatus::Offline);
    }
}

impl<C: Connect> Protocol for Link<C> {
    type Command = Command;
    type Connection = Connection<C::Stream>;
    type Error = LiveStoreError;

    async fn open(&mut self) -> Result<Self::Connection, LiveStoreError> {
        let payload = match &self.config.payload {
            Some(source) => {
                Some(source.payload().await.map_err(|error| LiveStoreError::Payload(error.into()))?)
            }
            None => None,
        };
        let socket = self.connect.connect(payload.as_ref()).await?;
        Connection::open(socket, self.config.clone(), payload).await
    }

    fn set_connected(&mut self, connection: Option<&Self::Connection>) {
        self.set_status(match connection {
            Some(_) => ConnectionStatus::Connected,
            None => ConnectionStatus::Connecting,
        });
    }

    async fn run(
        &mut self,
        connection: Self::Connection,
        commands: &mut Commands<Command>,
    ) -> Ended<LiveStoreError> {
        connection.run(commands).await
    }

    fn queue(waiting: &mut VecDeque<Command>, command: Command) {
        match command {
            command @ (Command::Push { .. } | Command::Pull { .. }) => waiting.push_back(command),
            // Without a connection no pull runs; at most one waits to begin.
            Command::Taken { .. } => {}
            Command::Cancel { id } => {
                waiting.retain(|waiting| !matches!(waiting, Command::Pull { id: pull, .. } if *pull == id));
            }
        }
    }

    fn fail(command: Command, error: &LiveStoreError) {
        // Whoever asked may be gone.
        match command {
            Command::Push { answer, .. } => {
                drop(answer.send(Err(Refusal::Other(error.clone().push_not_sent()))));
            }
            Command::Pull { deliveries, .. } => {
                drop(deliveries.send(Delivery::Failed(error.clone().pull())));
            }
            Command::Taken { .. } | Command::Cancel { .. } => {}
        }
    }

    fn timeout() -> LiveStoreError {
        LiveStoreError::Timeout
    }

    fn panicked() -> LiveStoreError {
        LiveStoreError::Panicked
    }
}
