//! A bare client of LiveStore's WebSocket protocol.
//!
//! Load generator and server share the machine, so this one does as little as a client can: frames are written as text,
//! answers are looked at no closer than needed, and one task reads and writes. Every server is measured with the same.

use std::fmt::Write;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::Uri;
use hyper_util::rt::TokioIo;
use livestore_dial::{Dialer, Stream};
use livestore_traits::PullMode;
use livestore_wire::SyncPayload;
use livestore_wire::livestore::{SyncUrl, Transport};
use tokio::time::Instant;
use tokio_websockets::{ClientBuilder, Error, Limits, Message, WebSocketStream};

use super::livestore_frame::{self, Answer};
use super::{Batch, Client, Content, Page, Pushed, patiently};
use crate::error::CommandError;

/// More than any chunk of this protocol has.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

pub(crate) struct LiveStoreClient {
    socket: WebSocketStream<TokioIo<Stream>>,
    /// `"storeId":…,"payload":…`, which every request repeats.
    identity: String,
    /// The last request.
    id: u64,
    /// The pull that is running, if the last request was one.
    pull: Option<RunningPull>,
}

#[derive(Clone, Copy)]
struct RunningPull {
    mode: PullMode,
    has_caught_up: bool,
}

impl LiveStoreClient {
    pub(crate) async fn connect(
        dialer: &Dialer,
        url: &SyncUrl,
        payload: Option<&SyncPayload>,
    ) -> Result<Self, CommandError> {
        let uri = url.uri(Transport::Ws, payload);
        let socket = patiently("the handshake", handshake(dialer, uri)).await?;
        let mut identity = format!(r#""storeId":"{}""#, url.store());
        if let Some(payload) = payload {
            let _ = write!(identity, r#","payload":{}"#, payload.as_json());
        }
        Ok(Self { socket, identity, id: 0, pull: None })
    }

    /// Sends a request whose payload goes on with `rest`.
    async fn request(&mut self, tag: &str, rest: impl FnOnce(&mut String)) -> Result<(), CommandError> {
        self.id += 1;
        let mut text = String::with_capacity(512);
        let (id, identity) = (self.id, &self.identity);
        let _ =
            write!(text, r#"{{"_tag":"Request","id":"{id}","tag":"SyncWsRpc.{tag}","payload":{{{identity},"#);
        rest(&mut text);
        text.push_str(r#"},"headers":[]}"#);
        self.socket.send(Message::text(text)).await.map_err(broken)
    }

    /// The next message that is about the last request.
    async fn answer(&mut self) -> Result<(Instant, Bytes, Answer), CommandError> {
        let id = self.id.to_string();
        loop {
            let message = match self.socket.next().await {
                Some(message) => message.map_err(broken)?,
                None => return Err(CommandError::new("the server ended the connection")),
            };
            let at = Instant::now();
            if let Some((code, reason)) = message.as_close() {
                let code = u16::from(code);
                return Err(CommandError::new(format!(
                    "the server closed the connection: {reason} ({code})"
                )));
            }
            if !message.is_text() && !message.is_binary() {
                continue;
            }
            let frame = Bytes::from(message.into_payload());
            match livestore_frame::read(&frame, &id)? {
                Answer::Other => {}
                answer => return Ok((at, frame, answer)),
            }
        }
    }
}

#[async_trait]
impl Client for LiveStoreClient {
    async fn push(&mut self, batch: &Batch<'_>) -> Result<Pushed, CommandError> {
        self.request("Push", |text| {
            text.push_str(r#""batch":"#);
            batch.write_json(text);
            text.push_str(r#","backendId":{"_tag":"None"}"#);
        })
        .await?;
        match patiently("a push", self.answer()).await?.2 {
            Answer::Success => Ok(Pushed::Accepted),
            Answer::Failure(failure) => livestore_frame::pushed(failure),
            Answer::Defect(defect) => Err(CommandError::new(format!("a push failed: {defect}"))),
            Answer::Chunk { .. } | Answer::Other => {
                Err(CommandError::new("the server answered a push with events"))
            }
        }
    }

    async fn pull(&mut self, mode: PullMode) -> Result<(), CommandError> {
        let live = mode == PullMode::Live;
        self.pull = Some(RunningPull { mode, has_caught_up: false });
        self.request("Pull", |text| {
            let _ = write!(text, r#""live":{live},"cursor":{{"_tag":"None"}}"#);
        })
        .await
    }

    async fn page(&mut self) -> Result<Option<Page>, CommandError> {
        let Some(pull) = self.pull else { return Ok(None) };
        let (at, frame, answer) = patiently("a pull", self.answer()).await?;
        match answer {
            Answer::Chunk { events, is_last } => {
                // Servers wait for acknowledgements until they have caught up, and pass over those that come later.
                if !(pull.mode == PullMode::Live && pull.has_caught_up) {
                    let ack = format!(r#"{{"_tag":"Ack","requestId":"{}"}}"#, self.id);
                    self.socket.send(Message::text(ack)).await.map_err(broken)?;
                }
                self.pull = Some(RunningPull { has_caught_up: pull.has_caught_up || is_last, ..pull });
                Ok(Some(Page { at, events, is_last, content: Content::Frame(frame) }))
            }
            Answer::Success => {
                self.pull = None;
                Ok(None)
            }
            Answer::Failure(failure) => Err(livestore_frame::failed("a pull failed", &failure)),
            Answer::Defect(defect) => Err(CommandError::new(format!("a pull failed: {defect}"))),
            Answer::Other => Err(CommandError::new("the server answered a pull with nothing")),
        }
    }
}

async fn handshake(dialer: &Dialer, uri: Uri) -> Result<WebSocketStream<TokioIo<Stream>>, CommandError> {
    let stream = dialer
        .dial(&uri)
        .await
        .map_err(|error| CommandError::new("a client cannot connect").caused_by(error))?;
    let limits = Limits::default().max_payload_len(Some(MAX_FRAME_BYTES));
    let builder = ClientBuilder::from_uri(uri).limits(limits);
    let (socket, _) = builder.connect_on(stream).await.map_err(refused)?;
    Ok(socket)
}

fn refused(error: Error) -> CommandError {
    use tokio_websockets::upgrade::Error::DidNotSwitchProtocols;
    match error {
        Error::Upgrade(DidNotSwitchProtocols(status)) => {
            CommandError::new(format!("the server refused the connection with status {status}"))
                .hint("does it want a --payload, or another --dialect?")
        }
        error => broken(error),
    }
}

fn broken(error: Error) -> CommandError {
    CommandError::new("the connection broke").caused_by(error)
}
