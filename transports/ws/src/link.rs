//! What the handles ask for, and how it fares without a connection.

use std::collections::VecDeque;

use livestore_dial::{Commands, Dialer, Ended, Pace, Protocol};
use livestore_traits::{ConnectionStatus, Pull, PullError, PullPage, Push, PushAck, PushError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::backend::LinkState;
use crate::connection::Connection;
use crate::{WsConfig, WsError};

/// What handles ask of their link. Credits and cancels are few; pushes are bounded by the handle, pulls by its user.
#[derive(Debug)]
pub(crate) enum Command {
    Push { id: u64, push: Push, answer: oneshot::Sender<Result<PushAck, PushError>> },
    Pull { id: u64, pull: Pull, deliveries: mpsc::UnboundedSender<Delivery> },
    Credit { id: u64, bytes: u32 },
    Cancel { id: u64 },
}

/// What a pull gets. The window bounds how many pages wait.
#[derive(Debug)]
pub(crate) enum Delivery {
    Page { page: PullPage, bytes: u32 },
    End(Option<PullError>),
}

/// Speaks the native protocol over connections to one server.
pub(crate) struct Link {
    config: WsConfig,
    dialer: Dialer,
    state: watch::Sender<LinkState>,
}

impl Link {
    pub(crate) fn new(config: WsConfig, state: watch::Sender<LinkState>) -> Self {
        let dialer = Dialer::new(&config.roots, config.connector.clone(), config.connect_timeout);
        Self { config, dialer, state }
    }

    pub(crate) const fn pace(&self) -> Pace {
        Pace {
            connect_timeout: self.config.connect_timeout,
            min_backoff: self.config.min_backoff,
            max_backoff: self.config.max_backoff,
        }
    }

    fn set_status(&self, status: ConnectionStatus) {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.status, status) != status);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.set_status(ConnectionStatus::Offline);
    }
}

impl Protocol for Link {
    type Command = Command;
    type Connection = Connection;
    type Error = WsError;

    async fn open(&mut self) -> Result<Connection, WsError> {
        Connection::open(&self.config, &self.dialer).await
    }

    fn set_connected(&mut self, connection: Option<&Connection>) {
        let Some(connection) = connection else { return self.set_status(ConnectionStatus::Connecting) };
        self.state.send_modify(|state| {
            state.status = ConnectionStatus::Connected;
            state.capabilities = connection.capabilities();
        });
    }

    async fn run(&mut self, connection: Connection, commands: &mut Commands<Command>) -> Ended<WsError> {
        connection.run(commands).await
    }

    fn queue(waiting: &mut VecDeque<Command>, command: Command) {
        match command {
            command @ (Command::Push { .. } | Command::Pull { .. }) => waiting.push_back(command),
            // Without a connection, pulls are not running; at most one waits to begin.
            Command::Credit { .. } => {}
            Command::Cancel { id } => {
                waiting.retain(|waiting| !matches!(waiting, Command::Pull { id: pull, .. } if *pull == id));
            }
        }
    }

    fn fail(command: Command, error: &WsError) {
        // Whoever asked may be gone.
        match command {
            Command::Push { answer, .. } => drop(answer.send(Err(error.clone().push_not_sent()))),
            Command::Pull { deliveries, .. } => {
                drop(deliveries.send(Delivery::End(Some(error.clone().pull()))));
            }
            Command::Credit { .. } | Command::Cancel { .. } => {}
        }
    }

    fn timeout() -> WsError {
        WsError::Timeout
    }

    fn panicked() -> WsError {
        // tokio-websockets panics over a `Sec-WebSocket-Accept` that is too long.
        WsError::Panicked
    }
}
