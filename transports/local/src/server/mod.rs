//! The leader's side: takes connections, learns what each is for, and serves it.

mod attachment;
mod reports;
mod snapshot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use livestore_traits::{LeaderLink, LinkError, SessionId};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::address::Secret;
use crate::error::in_words;
use crate::frame::{FrameReader, decode, encode, write_all};
use crate::greeting::greet_session;
use crate::message::{Answer, Failure, MAX_REQUEST_BYTES, Purpose, Request};
use crate::socket::{Listener, ReadHalf, Stream, WriteHalf};
use crate::{LocalConfig, LocalError};

/// The most connections that have not said yet what they are for. Further ones wait to be taken.
const MAX_HELLOS: usize = 64;

/// The most snapshots at once: each is a whole copy of the state in this process's memory. Further ones wait.
const MAX_SNAPSHOTS: usize = 4;

/// After a connection could not be taken, for example because this process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves one leader.
#[derive(Debug)]
pub(crate) struct Server {
    link: Arc<dyn LeaderLink>,
    config: Arc<LocalConfig>,
    secret: Secret,
    connections: Semaphore,
    snapshots: Semaphore,
    /// The last connection that attached each session. Connections count in the order in which they were made.
    attached: Mutex<HashMap<SessionId, u64>>,
    /// Held while a session is being attached, see [`attachment`].
    attaching: tokio::sync::Mutex<()>,
}

impl Server {
    pub(crate) fn new(link: Arc<dyn LeaderLink>, config: Arc<LocalConfig>, secret: Secret) -> Self {
        Self {
            link,
            secret,
            connections: Semaphore::new(config.max_connections),
            snapshots: Semaphore::new(MAX_SNAPSHOTS),
            attached: Mutex::default(),
            attaching: tokio::sync::Mutex::default(),
            config,
        }
    }

    /// Runs until it is dropped, and all connections with it.
    pub(crate) async fn run(self, listener: Listener) {
        let server = Arc::new(self);
        let hellos = Arc::new(Semaphore::new(MAX_HELLOS));
        let mut connections = JoinSet::new();
        let mut number = 0;
        loop {
            let accepted = async {
                let hello = hellos.clone().acquire_owned().await.expect("it is never closed");
                (hello, listener.accept().await)
            };
            tokio::select! {
                (hello, stream) = accepted => match stream {
                    Ok(stream) => {
                        number += 1;
                        connections.spawn(server.clone().serve(stream, hello, number));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a session's connection cannot be taken");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "serving a session's connection panicked");
                    }
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: Stream, hello: OwnedSemaphorePermit, number: u64) {
        if let Err(error) = self.try_serve(stream, hello, number).await {
            // Sessions come and go, also in the middle of something.
            tracing::debug!(error = in_words(&error), "a session's connection ended");
        }
    }

    async fn try_serve(
        &self,
        stream: Stream,
        hello: OwnedSemaphorePermit,
        number: u64,
    ) -> Result<(), LocalError> {
        let receive = timeout(self.config.hello_timeout, self.receive(stream)).await;
        let (request, mut connection) =
            receive.map_err(|_| LocalError::Protocol("it did not say what it is for".into()))??;
        drop(hello);
        let Ok(_room) = self.connections.try_acquire() else {
            let max_connections = self.config.max_connections;
            return connection.send(&Answer::Failed(Failure::Crowded { max_connections })).await;
        };
        if let Some(why) = self.mismatch(&request) {
            return connection.send(&Answer::Failed(Failure::Incompatible(why))).await;
        }
        match request.purpose {
            Purpose::Attach(attach) => self.attachment(connection, attach, number).await,
            Purpose::Snapshot(session_id) => self.snapshot(connection, session_id).await,
            Purpose::SyncNow => {
                let Some(status) = connection.ask(self.link.sync_now()).await? else { return Ok(()) };
                connection.send(&Answer::Status(Box::new(status))).await
            }
            Purpose::Reports => self.reports(connection).await,
        }
    }

    /// Greets, and learns what the connection is for.
    async fn receive(&self, stream: Stream) -> Result<(Request, Connection), LocalError> {
        if let Err(error) = stream.check_user() {
            tracing::warn!(%error, "a connection was refused");
            return Err(LocalError::Protocol("it is of another user".into()));
        }
        let (mut read, mut write) = stream.into_split();
        greet_session(&mut read, &mut write, &self.secret, &self.config.label).await?;
        let mut frames = FrameReader::new(read, MAX_REQUEST_BYTES);
        let frame =
            frames.next().await?.ok_or_else(|| LocalError::Protocol("it asked for nothing".into()))?;
        let connection =
            |frames| Connection { frames, write, buffer: Vec::new(), config: self.config.clone() };
        match decode(&frame) {
            Ok(request) => {
                frames.max_bytes = self.config.max_frame_bytes;
                Ok((request, connection(frames)))
            }
            Err(error) => {
                let failure =
                    Failure::Incompatible(format!("{} cannot read the request: {error}", self.config.label));
                connection(frames).send(&Answer::Failed(failure)).await?;
                Err(error)
            }
        }
    }

    /// Why who asks is not to be served.
    fn mismatch(&self, request: &Request) -> Option<String> {
        let (label, ours) = (&self.config.label, &self.config.store_id);
        if request.store_id != *ours {
            let theirs = &request.store_id;
            return Some(format!("the leader, {label}, keeps the store {ours}, this program wants {theirs}"));
        }
        let has_state = matches!(request.purpose, Purpose::Attach(_) | Purpose::Snapshot(_));
        let definitions = self.config.definitions.as_ref().zip(request.definitions.as_ref());
        let differ = definitions.is_some_and(|(ours, theirs)| ours != theirs);
        (has_state && differ).then(|| {
            format!("the leader, {label}, has other definitions of the state: bring both to one version")
        })
    }
}

/// A connection whose purpose is known.
#[derive(Debug)]
struct Connection {
    frames: FrameReader<ReadHalf>,
    write: WriteHalf,
    /// Where messages are encoded.
    buffer: Vec<u8>,
    config: Arc<LocalConfig>,
}

impl Connection {
    async fn send(&mut self, message: &impl Serialize) -> Result<(), LocalError> {
        self.buffer.clear();
        encode(message, &mut self.buffer, self.config.max_frame_bytes)?;
        write_all(&mut self.write, &self.buffer, self.config.stall_timeout).await
    }

    /// Says that the leader is there until it has an answer.
    async fn while_busy<T>(&mut self, answer: impl Future<Output = T>) -> Result<T, LocalError> {
        let mut answer = std::pin::pin!(answer);
        loop {
            match timeout(self.config.heartbeat_interval, answer.as_mut()).await {
                Ok(answer) => return Ok(answer),
                Err(_) => self.send(&Answer::Busy).await?,
            }
        }
    }

    /// Waits for an answer of the leader, which may be an error that is sent on; `None` then.
    async fn ask<T>(
        &mut self,
        answer: impl Future<Output = Result<T, LinkError>>,
    ) -> Result<Option<T>, LocalError> {
        match self.while_busy(answer).await? {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                self.send(&Answer::Failed(error.into())).await?;
                Ok(None)
            }
        }
    }
}
