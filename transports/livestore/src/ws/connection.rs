//! One connection, from its first ping until it breaks.
//!
//! It reads whether or not it can write: items have room in their pulls' windows or end them, so reading never waits, and
//! a server that waits for this side to read can't be waited for in turn.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::poll_fn;
use futures::{SinkExt, StreamExt};
use livestore_dial::{Commands, Ended, Heard};
use livestore_wire::SyncPayload;
use livestore_wire::livestore::{
    Call, ClientFrame, Exit, PullItem, PushCall, Request, RequestContext, RequestId, ServerFrame, Transport,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval};
use tokio_websockets::{CloseCode, Message, WebSocketStream};

use super::link::{Command, Delivery};
use crate::error::{Refusal, pull_failed, push_refused};
use crate::push::Echo;
use crate::{LiveStoreError, LiveStoreWsConfig};

/// How many messages are read, and how many commands taken, before the other side has its turn.
const MESSAGES_PER_TURN: usize = 64;
/// A timer of no length would spin.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(1);
/// How long saying goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Connection<S> {
    socket: WebSocketStream<Heard<S>>,
    config: Arc<LiveStoreWsConfig>,
    payload: Option<SyncPayload>,
    pushes: BTreeMap<u64, RunningPush>,
    pulls: BTreeMap<u64, RunningPull>,
    pinged_at: Instant,
    /// Whether no message has come since.
    is_silent: bool,
}

struct RunningPush {
    call: PushCall,
    echo: Option<Echo>,
    answer: oneshot::Sender<Result<Option<Echo>, Refusal>>,
}

struct RunningPull {
    deliveries: mpsc::UnboundedSender<Delivery>,
    /// What its reader has not taken yet, in bytes.
    waiting_bytes: usize,
    /// Chunks that are acknowledged once there is room.
    unacknowledged: usize,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection<S> {
    /// Pings, and waits for the server's first message.
    pub(super) async fn open(
        socket: WebSocketStream<Heard<S>>,
        config: Arc<LiveStoreWsConfig>,
        payload: Option<SyncPayload>,
    ) -> Result<Self, LiveStoreError> {
        let mut this = Self {
            socket,
            config,
            payload,
            pushes: BTreeMap::new(),
            pulls: BTreeMap::new(),
            pinged_at: Instant::now(),
            is_silent: true,
        };
        this.feed(&ClientFrame::Ping)?;
        this.socket.flush().await.map_err(LiveStoreError::broken)?;
        while this.is_silent {
            let message = this.socket.next().await.ok_or(LiveStoreError::Ended)?;
            this.receive(&message.map_err(LiveStoreError::broken)?)?;
        }
        Ok(this)
    }

    /// Serves the commands until the connection breaks or nobody uses it.
    pub(super) async fn run(mut self, commands: &mut Commands<Command>) -> Ended<LiveStoreError> {
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
            Ended::Lost(error) => self.fail_requests(error),
        }
        ended
    }

    async fn close(mut self) {
        let goodbye = async {
            for id in take(&mut self.pulls).into_keys() {
                self.feed(&ClientFrame::Interrupt(request_id(id)))?;
            }
            let close = Message::close(Some(CloseCode::NORMAL_CLOSURE), "");
            self.socket.send(close).await.map_err(LiveStoreError::broken)?;
            self.socket.close().await.map_err(LiveStoreError::broken)
        };
        // Nobody waits for this any more.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }

    /// Pings; if nothing comes after one, not even a part of a message, the connection is half open.
    fn check_liveness(&mut self, now: Instant) -> Result<(), LiveStoreError> {
        let since = now.duration_since(self.pinged_at);
        let heard_at = self.socket.get_ref().at();
        let silence = now.saturating_duration_since(self.pinged_at.max(heard_at));
        if self.is_silent && silence >= self.config.pong_timeout {
            return Err(LiveStoreError::Timeout);
        }
        if since >= self.config.ping_interval {
            self.feed(&ClientFrame::Ping)?;
            self.pinged_at = now;
            self.is_silent = true;
        }
        Ok(())
    }

    /// Works until there is nothing to do for now; ready when the connection is over.
    fn poll_turn(
        &mut self,
        commands: &mut Commands<Command>,
        cx: &mut Context<'_>,
    ) -> Poll<Ended<LiveStoreError>> {
        loop {
            match self.poll_once(commands, cx) {
                Ok(Turn::More) => {}
                Ok(Turn::Idle) => return Poll::Pending,
                Ok(Turn::Abandoned) => return Poll::Ready(Ended::Abandoned),
                Err(error) => return Poll::Ready(Ended::Lost(error)),
            }
        }
    }

    fn poll_once(
        &mut self,
        commands: &mut Commands<Command>,
        cx: &mut Context<'_>,
    ) -> Result<Turn, LiveStoreError> {
        let read = self.read(cx)?;
        let taken = self.take_commands(commands, cx)?;
        if let Poll::Ready(flushed) = self.socket.poll_flush_unpin(cx) {
            flushed.map_err(LiveStoreError::broken)?;
        }
        Ok(match (read, taken) {
            (_, Turn::Abandoned) => Turn::Abandoned,
            (Turn::Idle, Turn::Idle) => Turn::Idle,
            _ => Turn::More,
        })
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<Turn, LiveStoreError> {
        for _ in 0..MESSAGES_PER_TURN {
            match self.socket.poll_next_unpin(cx) {
                Poll::Pending => return Ok(Turn::Idle),
                Poll::Ready(Some(message)) => self.receive(&message.map_err(LiveStoreError::broken)?)?,
                Poll::Ready(None) => return Err(LiveStoreError::Ended),
            }
        }
        Ok(Turn::More)
    }

    fn receive(&mut self, message: &Message) -> Result<(), LiveStoreError> {
        if let Some((code, reason)) = message.as_close() {
            return Err(LiveStoreError::Closed { code: code.into(), reason: reason.to_owned() });
        }
        // Whatever it says, it is there.
        self.is_silent = false;
        if !message.is_text() && !message.is_binary() {
            return Ok(());
        }
        let text = message.as_payload();
        match ServerFrame::decode(text)? {
            ServerFrame::Chunk { request_id, items } => {
                self.take_chunk(number(&request_id), items, text.len())
            }
            ServerFrame::Exit { request_id, exit } => {
                if let Some(id) = number(&request_id) {
                    self.exit(id, exit);
                }
                Ok(())
            }
            ServerFrame::Defect(defect) => {
                // It names no request, so any may be the one that it ends.
                self.fail_requests(&LiveStoreError::defect(&defect));
                Ok(())
            }
            ServerFrame::Pong => Ok(()),
        }
    }

    fn fail_requests(&mut self, error: &LiveStoreError) {
        for push in take(&mut self.pushes).into_values() {
            let _ = push.answer.send(Err(error.clone().into()));
        }
        for pull in take(&mut self.pulls).into_values() {
            let _ = pull.deliveries.send(Delivery::Failed(error.clone().pull()));
        }
    }

    fn take_chunk(
        &mut self,
        id: Option<u64>,
        items: Vec<PullItem>,
        len: usize,
    ) -> Result<(), LiveStoreError> {
        for item in &items {
            self.note_echoes(item);
        }
        // The reader may have cancelled while the chunk was on the way.
        let Some((id, pull)) = id.and_then(|id| Some((id, self.pulls.get_mut(&id)?))) else { return Ok(()) };
        if pull.waiting_bytes >= self.config.pull_window_bytes {
            // A server that catches up waits for the acknowledgement; this is one that follows.
            let _ = pull.deliveries.send(Delivery::Lagging);
            self.pulls.remove(&id);
            return self.feed(&ClientFrame::Interrupt(request_id(id)));
        }
        pull.waiting_bytes += len;
        pull.unacknowledged += 1;
        let mut bytes = len;
        for item in items {
            // All of the chunk counts with its first item.
            let _ = pull.deliveries.send(Delivery::Item { item, bytes: take(&mut bytes) });
        }
        self.acknowledge(id)
    }

    /// Acknowledges what has come if there is room for more.
    fn acknowledge(&mut self, id: u64) -> Result<(), LiveStoreError> {
        let Some(pull) = self.pulls.get_mut(&id) else { return Ok(()) };
        if pull.waiting_bytes >= self.config.pull_window_bytes {
            return Ok(());
        }
        for _ in 0..take(&mut pull.unacknowledged) {
            self.feed(&ClientFrame::Ack(request_id(id)))?;
        }
        Ok(())
    }

    /// Remembers what a pull tells of the pushes under way.
    fn note_echoes(&mut self, item: &PullItem) {
        for push in self.pushes.values_mut() {
            let Some(last) = push.call.events.last() else { continue };
            if let Ok(index) = item.events.binary_search_by_key(&last.seq, |event| event.seq)
                && item.events[index].is_same(last)
            {
                let event = item.events[index].clone();
                push.echo = Some(Echo { backend_id: item.backend_id.clone(), event });
            }
        }
    }

    fn exit(&mut self, id: u64, exit: Exit) {
        // Whoever asked may be gone, or have cancelled meanwhile.
        if let Some(push) = self.pushes.remove(&id) {
            let _ = push.answer.send(match exit {
                Exit::Accepted | Exit::Ended | Exit::Pong => Ok(push.echo),
                Exit::Failed(failure) => Err(push_refused(failure)),
            });
        } else if let Some(pull) = self.pulls.remove(&id) {
            let _ = pull.deliveries.send(match exit {
                Exit::Accepted | Exit::Ended | Exit::Pong => Delivery::End,
                Exit::Failed(failure) => Delivery::Failed(pull_failed(failure)),
            });
        }
    }

    fn take_commands(
        &mut self,
        commands: &mut Commands<Command>,
        cx: &mut Context<'_>,
    ) -> Result<Turn, LiveStoreError> {
        for _ in 0..MESSAGES_PER_TURN {
            match self.socket.poll_ready_unpin(cx) {
                Poll::Pending => return Ok(Turn::Idle),
                Poll::Ready(ready) => ready.map_err(LiveStoreError::broken)?,
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

    fn handle(&mut self, command: Command) -> Result<(), LiveStoreError> {
        match command {
            // Nobody waits for it any more, and nothing was sent.
            Command::Push { answer, .. } if answer.is_closed() => Ok(()),
            Command::Push { id, call, answer } => {
                self.request(id, Call::Push(call.clone()))?;
                self.pushes.insert(id, RunningPush { call, echo: None, answer });
                Ok(())
            }
            Command::Pull { id, call, deliveries } => {
                self.pulls.insert(id, RunningPull { deliveries, waiting_bytes: 0, unacknowledged: 0 });
                self.request(id, Call::Pull(call))
            }
            Command::Taken { id, bytes } => {
                // A pull of an earlier connection means nothing here.
                let Some(pull) = self.pulls.get_mut(&id) else { return Ok(()) };
                pull.waiting_bytes = pull.waiting_bytes.saturating_sub(bytes);
                self.acknowledge(id)
            }
            Command::Cancel { id } => match self.pulls.remove(&id) {
                Some(_) => self.feed(&ClientFrame::Interrupt(request_id(id))),
                None => Ok(()),
            },
        }
    }

    fn request(&mut self, id: u64, call: Call) -> Result<(), LiveStoreError> {
        self.feed(&ClientFrame::Request(Request { id: request_id(id), call }))
    }

    fn feed(&mut self, frame: &ClientFrame) -> Result<(), LiveStoreError> {
        let payload = self.payload.as_ref();
        let context = RequestContext { transport: Transport::Ws, store: self.config.url.store(), payload };
        self.socket.start_send_unpin(Message::text(frame.encode(context))).map_err(LiveStoreError::broken)
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

/// A request's id as 0.4.0 writes it.
fn request_id(id: u64) -> RequestId {
    RequestId::Text(id.to_string().into())
}

/// Which request of this side an id names, if it is one.
fn number(id: &RequestId) -> Option<u64> {
    match id {
        RequestId::Text(text) => text.parse().ok(),
        RequestId::Number(number) => Some(*number),
    }
}
