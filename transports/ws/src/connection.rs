//! One connection, from the handshake until it breaks.
//!
//! It reads whether or not it can write: pages have room in their pulls' windows, so reading never waits, and a server
//! that waits for this side to read can't be waited for in turn.

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::poll_fn;
use futures::{SinkExt, StreamExt};
use http::HeaderValue;
use hyper_util::rt::TokioIo;
use livestore_dial::{Commands, Dialer, Ended, Heard, Stream};
use livestore_traits::{Capabilities, Limits, PullError, PullPage, Push, PushAck, PushError};
use livestore_wire::{
    ClientFrame, Encoding, PAYLOAD_HEADER, PageHead, SUBPROTOCOL, ServerFrame, SyncPayload, decode_page_body,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval};
use tokio_websockets::client::DISALLOWED_HEADERS;
use tokio_websockets::{ClientBuilder, CloseCode, Message, WebSocketStream};

use crate::link::{Command, Delivery};
use crate::{WsConfig, WsError};

/// How many messages are read, and how many commands taken, before the other side has its turn.
const MESSAGES_PER_TURN: usize = 64;
/// A timer of no length would spin.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(1);

pub(crate) struct Connection {
    socket: WebSocketStream<Heard<TokioIo<Stream>>>,
    config: WsConfig,
    capabilities: Capabilities,
    pushes: BTreeMap<u64, oneshot::Sender<Result<PushAck, PushError>>>,
    pulls: BTreeMap<u64, RunningPull>,
    /// The head of the page whose body is the next message.
    announced: Option<(u64, PageHead)>,
    said_at: Instant,
    /// When a ping was sent, if no message has come since.
    pinged_at: Option<Instant>,
}

struct RunningPull {
    deliveries: mpsc::UnboundedSender<Delivery>,
    /// How many bytes the server may still send; its last page may overdraw it.
    credit: i64,
}

impl Connection {
    /// Connects, upgrades, and waits for the server's first message.
    pub(crate) async fn open(config: &WsConfig, dialer: &Dialer) -> Result<Self, WsError> {
        let payload = match &config.payload {
            Some(source) => Some(source.payload().await.map_err(|error| WsError::Payload(error.into()))?),
            None => None,
        };
        let stream = Heard::new(dialer.dial(&config.uri).await?);
        let (mut socket, response) =
            builder(config, payload.as_ref()).connect_on(stream).await.map_err(WsError::handshake)?;
        let agreed = response.headers().get("sec-websocket-protocol");
        if agreed.is_none_or(|agreed| agreed != SUBPROTOCOL) {
            return Err(WsError::Subprotocol);
        }
        let hello = loop {
            let message = socket.next().await.ok_or(WsError::Ended)??;
            if message.is_binary() {
                break Encoding::Postcard.decode(message.as_payload())?;
            }
            if let Some((code, reason)) = message.as_close() {
                return Err(WsError::Closed { code: code.into(), reason: reason.to_owned() });
            }
        };
        let ServerFrame::Hello(store) = hello else {
            return Err(WsError::Protocol("its first message is no hello".to_owned()));
        };
        tracing::debug!(server = store.server, "connected");
        Ok(Self {
            socket,
            config: config.clone(),
            capabilities: store.capabilities.into(),
            pushes: BTreeMap::new(),
            pulls: BTreeMap::new(),
            announced: None,
            said_at: Instant::now(),
            pinged_at: None,
        })
    }

    pub(crate) const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Serves the commands until the connection breaks or nobody uses it.
    pub(crate) async fn run(mut self, commands: &mut Commands<Command>) -> Ended<WsError> {
        // Often enough for both bounds, whatever the last answer moved.
        let mut checks =
            interval((self.config.ping_interval.min(self.config.pong_timeout) / 2).max(MIN_CHECK_INTERVAL));
        let ended = loop {
            tokio::select! {
                biased;
                ended = poll_fn(|cx| self.poll_turn(commands, cx)) => break ended,
                now = checks.tick() => {
                    if let Err(error) = self.check_liveness(now) {
                        break Ended::Lost(error);
                    }
                }
            }
        };
        match &ended {
            Ended::Abandoned => self.close().await,
            Ended::Lost(error) => self.fail(error),
        }
        ended
    }

    async fn close(mut self) {
        let goodbye = async {
            self.socket.send(Message::close(Some(CloseCode::NORMAL_CLOSURE), "")).await?;
            self.socket.close().await
        };
        // Nobody waits for this any more.
        let _ = tokio::time::timeout(self.config.pong_timeout, goodbye).await;
    }

    fn fail(self, error: &WsError) {
        for (_, answer) in self.pushes {
            let _ = answer.send(Err(PushError::Unacknowledged(error.clone().into())));
        }
        for (_, pull) in self.pulls {
            let _ = pull.deliveries.send(Delivery::End(Some(error.clone().pull())));
        }
    }

    /// Pings when it was silent for long; if nothing comes then, not even a part of a message, the connection is half open.
    fn check_liveness(&mut self, now: Instant) -> Result<(), WsError> {
        match self.pinged_at {
            Some(pinged_at) => {
                let heard_at = self.socket.get_ref().at();
                if now.saturating_duration_since(pinged_at.max(heard_at)) >= self.config.pong_timeout {
                    return Err(WsError::Timeout);
                }
            }
            None if now.duration_since(self.said_at) >= self.config.ping_interval => {
                self.socket.start_send_unpin(Message::ping(""))?;
                self.said_at = now;
                self.pinged_at = Some(now);
            }
            _ => {}
        }
        Ok(())
    }

    /// Works until there is nothing to do for now; ready when the connection is over.
    fn poll_turn(&mut self, commands: &mut Commands<Command>, cx: &mut Context<'_>) -> Poll<Ended<WsError>> {
        loop {
            match self.poll_once(commands, cx) {
                Ok(Turn::More) => {}
                Ok(Turn::Idle) => return Poll::Pending,
                Ok(Turn::Abandoned) => return Poll::Ready(Ended::Abandoned),
                Err(error) => return Poll::Ready(Ended::Lost(error)),
            }
        }
    }

    fn poll_once(&mut self, commands: &mut Commands<Command>, cx: &mut Context<'_>) -> Result<Turn, WsError> {
        let read = self.read(cx)?;
        let taken = self.take_commands(commands, cx)?;
        let _ = self.socket.poll_flush_unpin(cx)?;
        Ok(match (read, taken) {
            (_, Turn::Abandoned) => Turn::Abandoned,
            (Turn::Idle, Turn::Idle) => Turn::Idle,
            _ => Turn::More,
        })
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<Turn, WsError> {
        for _ in 0..MESSAGES_PER_TURN {
            let message = match self.socket.poll_next_unpin(cx) {
                Poll::Pending => return Ok(Turn::Idle),
                Poll::Ready(Some(message)) => message?,
                Poll::Ready(None) => return Err(WsError::Ended),
            };
            // Whatever it says, it is there.
            self.pinged_at = None;
            if message.is_binary() {
                self.receive(message.as_payload())?;
            } else if let Some((code, reason)) = message.as_close() {
                return Err(WsError::Closed { code: code.into(), reason: reason.to_owned() });
            }
        }
        Ok(Turn::More)
    }

    fn receive(&mut self, payload: &[u8]) -> Result<(), WsError> {
        if let Some((id, head)) = self.announced.take() {
            let page = decode_page_body(head, payload)?;
            return self.deliver(id, page, payload.len());
        }
        match Encoding::Postcard.decode(payload)? {
            ServerFrame::Hello(_) => Err(WsError::Protocol("it said hello twice".to_owned())),
            ServerFrame::Page { id, head } => {
                self.announced = Some((id, head));
                Ok(())
            }
            ServerFrame::PullEnd { id, error } => {
                // The reader may be gone, or have cancelled meanwhile.
                if let Some(pull) = self.pulls.remove(&id) {
                    let _ = pull.deliveries.send(Delivery::End(error.map(PullError::from)));
                }
                Ok(())
            }
            ServerFrame::PushAck { id, ack } => {
                self.answer(id, Ok(ack.into()));
                Ok(())
            }
            ServerFrame::PushRefused { id, error } => {
                self.answer(id, Err(error.into()));
                Ok(())
            }
        }
    }

    fn deliver(&mut self, id: u64, page: PullPage, len: usize) -> Result<(), WsError> {
        // The reader may have cancelled while the page was on the way.
        let Some(pull) = self.pulls.get_mut(&id) else { return Ok(()) };
        if pull.credit <= 0 {
            return Err(WsError::Protocol("it sent a page that had no room in the window".to_owned()));
        }
        pull.credit -= i64::try_from(len).unwrap_or(i64::MAX);
        let bytes = u32::try_from(len).unwrap_or(u32::MAX);
        let _ = pull.deliveries.send(Delivery::Page { page, bytes });
        Ok(())
    }

    fn answer(&mut self, id: u64, answer: Result<PushAck, PushError>) {
        if let Some(waiting) = self.pushes.remove(&id) {
            let _ = waiting.send(answer);
        }
    }

    fn take_commands(
        &mut self,
        commands: &mut Commands<Command>,
        cx: &mut Context<'_>,
    ) -> Result<Turn, WsError> {
        for _ in 0..MESSAGES_PER_TURN {
            if self.socket.poll_ready_unpin(cx)?.is_pending() {
                return Ok(Turn::Idle);
            }
            let command = match commands.waiting.pop_front() {
                Some(command) => command,
                None => match commands.receiver.poll_recv(cx) {
                    Poll::Pending => return Ok(Turn::Idle),
                    Poll::Ready(None) => return Ok(Turn::Abandoned),
                    Poll::Ready(Some(command)) => command,
                },
            };
            self.handle(command)?;
        }
        Ok(Turn::More)
    }

    fn handle(&mut self, command: Command) -> Result<(), WsError> {
        match command {
            Command::Push { id, push, answer } => self.push(id, push, answer),
            Command::Pull { id, pull, deliveries } => {
                let window = self.config.pull_window_bytes;
                self.pulls.insert(id, RunningPull { deliveries, credit: i64::from(window) });
                self.feed(&ClientFrame::pull(id, pull, window))
            }
            Command::Credit { id, bytes } => {
                // Credits of a pull of an earlier connection mean nothing here.
                let Some(pull) = self.pulls.get_mut(&id) else { return Ok(()) };
                pull.credit = pull.credit.saturating_add(i64::from(bytes));
                self.feed(&ClientFrame::Credit { id, bytes })
            }
            Command::Cancel { id } => match self.pulls.remove(&id) {
                Some(_) => self.feed(&ClientFrame::Cancel { id }),
                None => Ok(()),
            },
        }
    }

    fn push(
        &mut self,
        id: u64,
        push: Push,
        answer: oneshot::Sender<Result<PushAck, PushError>>,
    ) -> Result<(), WsError> {
        if answer.is_closed() {
            return Ok(());
        }
        let limits: &Limits = &self.capabilities.limits;
        // A frame that is too large would cost the connection.
        if let Err(error) = push.check_limits(limits) {
            let _ = answer.send(Err(error));
            return Ok(());
        }
        self.pushes.insert(id, answer);
        self.feed(&ClientFrame::Push { id, push: push.into() })
    }

    fn feed(&mut self, frame: &ClientFrame) -> Result<(), WsError> {
        self.said_at = Instant::now();
        self.socket.start_send_unpin(Message::binary(Encoding::Postcard.encode(frame)))?;
        Ok(())
    }
}

/// What a turn found.
enum Turn {
    /// There may be more at once.
    More,
    /// Whatever comes next wakes the task.
    Idle,
    /// No handle is left.
    Abandoned,
}

fn builder(config: &WsConfig, payload: Option<&SyncPayload>) -> ClientBuilder<'static> {
    let limits = tokio_websockets::Limits::default().max_payload_len(Some(config.max_frame_bytes));
    let mut builder = ClientBuilder::from_uri(config.uri.clone()).limits(limits);
    let mut headers = config.headers.clone();
    headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    if let Some(payload) = payload {
        headers.insert(PAYLOAD_HEADER, payload.to_header());
    }
    for name in DISALLOWED_HEADERS {
        headers.remove(name);
    }
    for (name, value) in &headers {
        builder = builder.add_header(name.clone(), value.clone()).expect("the handshake's own are removed");
    }
    builder
}
