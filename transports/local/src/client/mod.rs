//! The side of the sessions: a link that finds whoever leads, each time it is used.

mod attachment;
mod reports;
mod snapshot;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use livestore_traits::{
    Attach, Attachment, BoxStream, LeaderLink, LeaderReport, LeaderStatus, LinkError, SessionId,
    SessionSnapshot,
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::address::Address;
use crate::error::in_words;
use crate::frame::{FrameReader, decode, encode, write_all};
use crate::greeting::greet_leader;
use crate::message::{Answer, MAX_REQUEST_BYTES, Purpose, Request};
use crate::socket::{ReadHalf, Stream, WriteHalf};
use crate::{LocalConfig, LocalError};

/// Reaches whoever leads in a data directory.
#[derive(Clone, Debug)]
pub(crate) struct RemoteLink {
    dir: Arc<Path>,
    config: Arc<LocalConfig>,
}

impl RemoteLink {
    pub(crate) fn new(dir: Arc<Path>, config: Arc<LocalConfig>) -> Self {
        Self { dir, config }
    }

    /// Connects, says what for, and waits for the answer.
    async fn ask(&self, purpose: Purpose) -> Result<(Answer, Connection), LinkError> {
        let patience = self.config.answer_timeout;
        let open = timeout(patience, self.open(purpose)).await;
        let mut connection = open.map_err(|_| LocalError::NoAnswer(patience))??;
        loop {
            match connection.message().await? {
                Answer::Busy => {}
                Answer::Failed(failure) => return Err(failure.into()),
                answer => return Ok((answer, connection)),
            }
        }
    }

    async fn open(&self, purpose: Purpose) -> Result<Connection, LinkError> {
        let address = Address::load(&self.dir)?;
        let stream = Stream::connect(&self.dir, &address.place).await?;
        stream.check_user()?;
        let (mut read, mut write) = stream.into_split();
        greet_leader(&mut read, &mut write, &address.secret).await?;
        let LocalConfig { store_id, definitions, .. } = &*self.config;
        let request = Request { store_id: store_id.clone(), definitions: definitions.clone(), purpose };
        let mut buffer = Vec::new();
        encode(&request, &mut buffer, MAX_REQUEST_BYTES)?;
        write_all(&mut write, &buffer, self.config.answer_timeout).await?;
        let frames = FrameReader::new(read, self.config.max_frame_bytes);
        Ok(Connection { frames, write, config: self.config.clone() })
    }
}

#[async_trait]
impl LeaderLink for RemoteLink {
    async fn attach(&self, attach: Attach) -> Result<Attachment, LinkError> {
        match self.ask(Purpose::Attach(attach)).await? {
            (Answer::Attached(attached), connection) => Ok(connection.attachment(attached)),
            (answer, _) => Err(unexpected(&answer)),
        }
    }

    async fn snapshot(&self, session_id: &SessionId) -> Result<SessionSnapshot, LinkError> {
        match self.ask(Purpose::Snapshot(session_id.clone())).await? {
            (Answer::Snapshot { head, held, bytes }, connection) => {
                let snapshot = connection.snapshot(head, bytes).await?;
                Ok(SessionSnapshot { snapshot, held })
            }
            (answer, _) => Err(unexpected(&answer)),
        }
    }

    async fn sync_now(&self) -> Result<LeaderStatus, LinkError> {
        match self.ask(Purpose::SyncNow).await? {
            (Answer::Status(status), _) => Ok(*status),
            (answer, _) => Err(unexpected(&answer)),
        }
    }

    async fn reports(&self) -> Result<BoxStream<'static, LeaderReport>, LinkError> {
        match self.ask(Purpose::Reports).await? {
            (Answer::Reporting, connection) => Ok(connection.reports()),
            (answer, _) => Err(unexpected(&answer)),
        }
    }
}

fn unexpected(answer: &Answer) -> LinkError {
    LocalError::Protocol(format!("it answers what was not asked: {answer:?}")).into()
}

/// Tells people why a stream ended early, unless the leader just went, which it may at any moment.
fn note(error: LocalError) {
    match error.into() {
        LinkError::Gone => {}
        error => tracing::warn!(error = in_words(&error), "the connection to the leader was given up"),
    }
}

/// A connection to the leader.
#[derive(Debug)]
struct Connection {
    frames: FrameReader<ReadHalf>,
    /// Closed when it is dropped, which ends what the connection is for.
    write: WriteHalf,
    config: Arc<LocalConfig>,
}

impl Connection {
    /// The next message, which must come soon.
    async fn message<T: DeserializeOwned>(&mut self) -> Result<T, LinkError> {
        let frame = self.frames.next_within(self.config.answer_timeout).await?;
        Ok(decode(&frame.ok_or(LinkError::Gone)?)?)
    }
}
