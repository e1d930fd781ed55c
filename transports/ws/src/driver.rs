//! The task behind a backend: connects, backs off, and lends its commands to the connection of the moment.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use livestore_traits::{ConnectionStatus, Pull, PullError, PullPage, Push, PushAck, PushError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::backend::LinkState;
use crate::connection::{Connection, Ended};
use crate::{WsConfig, WsError};

/// What handles ask of their driver. Credits and cancels are few; pushes are bounded by the handle, pulls by its user.
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

pub(crate) struct Driver {
    config: WsConfig,
    state: watch::Sender<LinkState>,
    commands: Commands,
    failures: u32,
}

/// The commands of the handles: those that waited for a connection first.
pub(crate) struct Commands {
    pub(crate) waiting: VecDeque<Command>,
    pub(crate) receiver: mpsc::UnboundedReceiver<Command>,
}

/// All handles are gone.
struct Abandoned;

impl Driver {
    pub(crate) fn new(
        config: WsConfig,
        state: watch::Sender<LinkState>,
        receiver: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let commands = Commands { waiting: VecDeque::new(), receiver };
        Self { config, state, commands, failures: 0 }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.set_status(ConnectionStatus::Connecting);
            let Ok(opened) = self.open().await else { break };
            let error = match opened {
                Ok(connection) => {
                    self.failures = 0;
                    self.state.send_modify(|state| {
                        state.status = ConnectionStatus::Connected;
                        state.capabilities = connection.capabilities();
                    });
                    match caught(connection.run(&mut self.commands)).await {
                        Ok(Ended::Abandoned) => break,
                        Ok(Ended::Lost(error)) | Err(error) => error,
                    }
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    for command in self.commands.waiting.drain(..) {
                        command.fail(&error);
                    }
                    error
                }
            };
            self.set_status(ConnectionStatus::Connecting);
            tracing::debug!(error = &error as &dyn std::error::Error, "no connection");
            if self.back_off().await.is_err() {
                break;
            }
        }
        self.set_status(ConnectionStatus::Offline);
    }

    fn set_status(&self, status: ConnectionStatus) {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.status, status) != status);
    }

    /// One attempt. Commands that come meanwhile wait for its outcome.
    async fn open(&mut self) -> Result<Result<Connection, WsError>, Abandoned> {
        let attempt = timeout(self.config.connect_timeout, caught(Connection::open(&self.config)));
        let mut attempt = std::pin::pin!(attempt);
        loop {
            tokio::select! {
                opened = attempt.as_mut() => {
                    return Ok(opened.unwrap_or(Err(WsError::Timeout)).flatten());
                }
                command = self.commands.receiver.recv() => self.commands.queue(command)?,
            }
        }
    }

    /// Waits until the next attempt is due; a command makes it due soon.
    async fn back_off(&mut self) -> Result<(), Abandoned> {
        let started = Instant::now();
        let mut due = started + backoff(&self.config, self.failures);
        loop {
            tokio::select! {
                () = sleep_until(due) => return Ok(()),
                command = self.commands.receiver.recv() => {
                    self.commands.queue(command)?;
                    if !self.commands.waiting.is_empty() {
                        due = due.min(started + self.config.min_backoff);
                    }
                }
            }
        }
    }
}

/// Turns a panic into an error: a server must not be able to end the driver, and every later call with it. tokio-websockets
/// panics over a `Sec-WebSocket-Accept` that is too long.
async fn caught<T>(connection: impl Future<Output = T>) -> Result<T, WsError> {
    // What panicked is dropped, and the commands it had with it, whose callers learn that nobody answers.
    AssertUnwindSafe(connection).catch_unwind().await.map_err(|_| WsError::Panicked)
}

/// A random part of a bound that doubles with each failure, so that clients that lost one server don't all come back at
/// the same moment.
fn backoff(config: &WsConfig, failures: u32) -> Duration {
    let doubled = config.min_backoff.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    let bound = doubled.min(config.max_backoff);
    bound.mul_f64(if failures == 0 { fastrand::f64() } else { 0.5 + fastrand::f64() / 2.0 })
}

impl Commands {
    /// Keeps a command until there is a connection.
    fn queue(&mut self, command: Option<Command>) -> Result<(), Abandoned> {
        match command.ok_or(Abandoned)? {
            command @ (Command::Push { .. } | Command::Pull { .. }) => self.waiting.push_back(command),
            // Without a connection, pulls are not running; at most one waits to begin.
            Command::Credit { .. } => {}
            Command::Cancel { id } => {
                self.waiting
                    .retain(|waiting| !matches!(waiting, Command::Pull { id: pull, .. } if *pull == id));
            }
        }
        Ok(())
    }
}

impl Command {
    /// Answers a command that was not sent.
    pub(crate) fn fail(self, error: &WsError) {
        // Whoever asked may be gone.
        match self {
            Self::Push { answer, .. } => drop(answer.send(Err(error.clone().push_not_sent()))),
            Self::Pull { deliveries, .. } => {
                drop(deliveries.send(Delivery::End(Some(error.clone().pull()))));
            }
            Self::Credit { .. } | Self::Cancel { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::StoreId;

    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_its_bound_and_is_jittered() {
        let config = WsConfig::new("ws://a", StoreId::new("todo").unwrap()).unwrap();
        for (failures, bound_ms) in
            [(1, 400), (2, 800), (6, 12_800), (7, 20_000), (40, 20_000), (u32::MAX, 20_000)]
        {
            let bound = Duration::from_millis(bound_ms);
            for _ in 0..100 {
                let delay = backoff(&config, failures);
                assert!(bound / 2 <= delay && delay <= bound, "{delay:?} after {failures} failures");
            }
        }
        // After a connection that worked, clients come back at once, but not all in the same moment.
        assert!((0..100).all(|_| backoff(&config, 0) <= config.min_backoff));
    }
}
