//! One WebSocket: its running pulls and pushes, in one task without queues.
//!
//! Each turn reads what has arrived, asks the running pushes and pulls for what is ready, feeds it all to the socket and
//! flushes once. When the socket takes no more, the turn ends: nothing is read, no page is taken from a backend, until
//! there is room again. A pull whose window is closed is not polled. So a peer that reads slowly or not at all holds
//! one page of its own, and no one else waits for it.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::{BoxFuture, poll_fn};
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, SinkExt, StreamExt};
use livestore_traits::{Pull, PullError, PullMode, PullPage, Push, PushAck, PushError};
use livestore_wire::{ClientFrame, Encoding, PullErrorForm, PushErrorForm, ServerFrame, StoreForm};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_websockets::{CloseCode, Error, Message, WebSocketStream};

use super::closing::{self, Closing};
use crate::SERVER;
use crate::admission;
use crate::hub::Store;
use crate::lifecycle::{Phase, Running};
use crate::limits::ServerLimits;

/// How many messages are read before what is ready is answered.
const MESSAGES_PER_TURN: usize = 32;
/// A timer of no length would spin.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(1);

pub(crate) struct Session<S> {
    socket: WebSocketStream<S>,
    store: Store,
    limits: Arc<ServerLimits>,
    pushes: FuturesUnordered<BoxFuture<'static, (u64, Result<PushAck, PushError>)>>,
    pulls: Vec<RunningPull>,
    /// When the peer last said anything.
    heard_at: Instant,
    /// Since when the socket takes nothing, if so.
    blocked_since: Option<Instant>,
    /// The server is going away: nothing new is begun.
    is_draining: bool,
}

struct RunningPull {
    id: u64,
    /// How many bytes of page bodies the reader will take; the last page may overdraw it.
    credit: i64,
    pages: BoxStream<'static, Result<PullPage, PullError>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(crate) fn new(socket: WebSocketStream<S>, store: Store, limits: Arc<ServerLimits>) -> Self {
        Self {
            socket,
            store,
            limits,
            pushes: FuturesUnordered::new(),
            pulls: Vec::new(),
            heard_at: Instant::now(),
            blocked_since: None,
            is_draining: false,
        }
    }

    /// Serves until the peer or the server ends it.
    pub(crate) async fn run(mut self, mut running: Running) {
        let hello = ServerFrame::Hello(StoreForm {
            server: SERVER.to_owned(),
            capabilities: self.store.capabilities().into(),
        });
        let closing = match self.feed(&hello) {
            Ok(()) => self.serve(&mut running).await,
            Err(closing) => closing,
        };
        tracing::debug!(?closing, "a websocket ends");
        // What still runs belongs to nobody.
        let Self { socket, store, pushes, pulls, .. } = self;
        drop((pushes, pulls, store));
        tokio::select! {
            () = closing::close(socket, closing) => {}
            () = running.reached(Phase::Stopped) => {}
        }
    }

    async fn serve(&mut self, running: &mut Running) -> Closing {
        // Looking twice per bound ends a connection at most half as late again, and costs an idle one next to nothing.
        let bound = self.limits.idle_timeout.min(self.limits.write_timeout);
        let mut checks = tokio::time::interval((bound / 2).max(MIN_CHECK_INTERVAL));
        loop {
            let next_phase = if self.is_draining { Phase::Stopped } else { Phase::Draining };
            tokio::select! {
                biased;
                () = running.reached(next_phase) => {
                    if running.phase() == Phase::Stopped {
                        return Closing::Dead;
                    }
                    self.is_draining = true;
                    self.pulls.clear();
                }
                closing = poll_fn(|cx| self.poll_turn(cx)) => return closing,
                now = checks.tick() => {
                    if let Some(closing) = self.check_times(now) {
                        return closing;
                    }
                }
            }
        }
    }

    fn check_times(&self, now: Instant) -> Option<Closing> {
        if self.blocked_since.is_some_and(|since| now.duration_since(since) >= self.limits.write_timeout) {
            return Some(Closing::Dead);
        }
        let is_idle = now.saturating_duration_since(self.heard_at) >= self.limits.idle_timeout;
        is_idle.then(|| Closing::with(CloseCode::POLICY_VIOLATION, "nothing was heard for too long"))
    }

    /// Works until there is nothing to do for now; ready when the connection is to end.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Closing> {
        loop {
            match self.poll_once(cx) {
                Ok(true) => {}
                Ok(false) if self.is_draining && self.pushes.is_empty() => {
                    return Poll::Ready(Closing::with(CloseCode::GOING_AWAY, "the server is going away"));
                }
                Ok(false) => return Poll::Pending,
                Err(closing) => return Poll::Ready(closing),
            }
        }
    }

    /// One turn. Whether there may be more to do at once.
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Result<bool, Closing> {
        if self.poll_room(cx)?.is_pending() {
            return Ok(false);
        }
        let mut more = self.read(cx)?;
        more |= self.answer_pushes(cx)?;
        more |= self.send_pages(cx)?;
        let flushed = self.socket.poll_flush_unpin(cx)?;
        self.note_blocked(flushed.is_pending());
        Ok(more)
    }

    /// Ready while the socket's queue is short.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Closing> {
        let room = self.socket.poll_ready_unpin(cx)?;
        if room.is_pending() {
            self.note_blocked(true);
        }
        Ok(room)
    }

    fn note_blocked(&mut self, is_blocked: bool) {
        if is_blocked {
            self.blocked_since.get_or_insert_with(Instant::now);
        } else {
            self.blocked_since = None;
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Closing> {
        for _ in 0..MESSAGES_PER_TURN {
            let message = match self.socket.poll_next_unpin(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Some(message)) => message?,
                Poll::Ready(None) => return Err(Closing::Dead),
            };
            self.heard_at = Instant::now();
            if message.is_binary() {
                let frame = Encoding::Postcard
                    .decode(message.as_payload())
                    .map_err(|error| Closing::with(CloseCode::PROTOCOL_ERROR, &error.to_string()))?;
                self.handle(frame)?;
            } else if message.is_text() {
                return Err(Closing::with(CloseCode::UNSUPPORTED_DATA, "this protocol has no text messages"));
            }
            // The socket answers pings and closes by itself.
        }
        Ok(true)
    }

    fn handle(&mut self, frame: ClientFrame) -> Result<(), Closing> {
        match frame {
            ClientFrame::Push { id, push } => self.start_push(id, push.into()),
            ClientFrame::Pull { id, backend_id, cursor, live, window } => {
                let mode = if live { PullMode::Live } else { PullMode::Once };
                self.start_pull(id, Pull::new(backend_id, cursor, mode), window)
            }
            ClientFrame::Cancel { id } => {
                self.pulls.retain(|pull| pull.id != id);
                Ok(())
            }
            ClientFrame::Credit { id, bytes } => {
                // The pull may have ended meanwhile.
                if let Some(pull) = self.pulls.iter_mut().find(|pull| pull.id == id) {
                    pull.credit = pull.credit.saturating_add(i64::from(bytes));
                }
                Ok(())
            }
        }
    }

    fn start_push(&mut self, id: u64, push: Push) -> Result<(), Closing> {
        let refusal = if self.is_draining {
            Some(PushError::Busy("the server is going away".to_owned()))
        } else if self.pushes.len() >= self.limits.max_pushes_per_connection {
            Some(PushError::Busy(format!("{} pushes are running", self.pushes.len())))
        } else {
            admission::check(&push, &self.store.capabilities().limits).err()
        };
        if let Some(error) = refusal {
            return self.feed(&ServerFrame::PushRefused { id, error: error.into() });
        }
        let backend = self.store.backend().clone();
        self.pushes.push(async move { (id, backend.push(push).await) }.boxed());
        Ok(())
    }

    fn start_pull(&mut self, id: u64, pull: Pull, window: u32) -> Result<(), Closing> {
        if self.pulls.iter().any(|running| running.id == id) {
            return Err(Closing::with(CloseCode::PROTOCOL_ERROR, "two pulls have one id"));
        }
        let refusal = if self.is_draining {
            Some("the server is going away".to_owned())
        } else if self.pulls.len() >= self.limits.max_pulls_per_connection {
            Some(format!("{} pulls are running", self.pulls.len()))
        } else {
            None
        };
        if let Some(reason) = refusal {
            let error = Some(PullErrorForm::Offline(reason));
            return self.feed(&ServerFrame::PullEnd { id, error });
        }
        let pages = self.store.backend().pull(pull);
        self.pulls.push(RunningPull { id, credit: i64::from(window), pages });
        Ok(())
    }

    fn answer_pushes(&mut self, cx: &mut Context<'_>) -> Result<bool, Closing> {
        while let Poll::Ready(Some((id, outcome))) = self.pushes.poll_next_unpin(cx) {
            let answer = match outcome {
                Ok(ack) => ServerFrame::PushAck { id, ack: ack.into() },
                Err(error) => ServerFrame::PushRefused { id, error: refused(error) },
            };
            self.feed(&answer)?;
        }
        Ok(false)
    }

    /// Takes at most one page from each pull, so that a long catch-up leaves room for the others.
    fn send_pages(&mut self, cx: &mut Context<'_>) -> Result<bool, Closing> {
        let mut more = false;
        let mut index = 0;
        while index < self.pulls.len() {
            if self.poll_room(cx)?.is_pending() {
                return Ok(more);
            }
            match self.pulls[index].poll_page(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Some(Ok(page))) => {
                    self.feed_page(index, &page)?;
                    more = true;
                    index += 1;
                }
                Poll::Ready(end) => {
                    let id = self.pulls.swap_remove(index).id;
                    let error = end.and_then(Result::err).map(ended);
                    self.feed(&ServerFrame::PullEnd { id, error })?;
                }
            }
        }
        Ok(more)
    }

    fn feed_page(&mut self, index: usize, page: &PullPage) -> Result<(), Closing> {
        let body = self.store.pages().body(page);
        let pull = &mut self.pulls[index];
        pull.credit -= i64::try_from(body.len()).unwrap_or(i64::MAX);
        let head = ServerFrame::Page { id: pull.id, head: page.info.into() };
        self.feed(&head)?;
        self.socket.start_send_unpin(Message::binary(body))?;
        Ok(())
    }

    fn feed(&mut self, frame: &ServerFrame) -> Result<(), Closing> {
        self.socket.start_send_unpin(Message::binary(Encoding::Postcard.encode(frame)))?;
        Ok(())
    }
}

impl RunningPull {
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<PullPage, PullError>>> {
        if self.credit <= 0 {
            // A credit of the client is what goes on here, and reading it polls again.
            return Poll::Pending;
        }
        Poll::Ready(ready!(self.pages.poll_next_unpin(cx)))
    }
}

fn refused(error: PushError) -> PushErrorForm {
    if let PushError::Backend { backend, source } = &error {
        tracing::error!(backend, error = source, "a push failed");
    }
    error.into()
}

fn ended(error: PullError) -> PullErrorForm {
    if let PullError::Backend { backend, source } = &error {
        tracing::error!(backend, error = source, "a pull failed");
    }
    error.into()
}

impl From<Error> for Closing {
    fn from(error: Error) -> Self {
        match error {
            // The socket has queued a close frame that says why.
            Error::Protocol(_) | Error::PayloadTooLong { .. } => Self::Queued,
            _ => Self::Dead,
        }
    }
}
