//! One WebSocket: its running pulls and pushes, in one task without queues.
//!
//! Each turn reads what has arrived, asks the running pushes and pulls for what is ready, feeds it all to the socket and
//! flushes once. When the socket takes no more, the turn ends: nothing is read, no page is taken from a backend, until
//! there is room again. A pull whose window is closed is not polled. So a peer that reads slowly or not at all holds
//! one page of its own, and no one else waits for it.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use livestore_traits::{Pull, PullError, PullMode, PullPage, Push, PushAck, PushError};
use livestore_wire::{ClientFrame, Encoding, PullErrorForm, PushErrorForm, ServerFrame, StoreForm};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_websockets::{CloseCode, Message, WebSocketStream};

use super::{Closing, Conversation, MESSAGES_PER_TURN, Socket, close, serve};
use crate::SERVER;
use crate::access::Access;
use crate::admission;
use crate::hub::Store;
use crate::lifecycle::{Phase, Running};
use crate::limits::ServerLimits;

pub(crate) struct Session<S> {
    socket: Socket<S>,
    store: Store,
    access: Access,
    limits: Arc<ServerLimits>,
    pushes: FuturesUnordered<BoxFuture<'static, (u64, Result<PushAck, PushError>)>>,
    pulls: Vec<RunningPull>,
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
    pub(crate) fn new(
        socket: WebSocketStream<S>,
        store: Store,
        access: Access,
        limits: Arc<ServerLimits>,
    ) -> Self {
        Self {
            socket: Socket::new(socket, limits.clone()),
            store,
            access,
            limits,
            pushes: FuturesUnordered::new(),
            pulls: Vec::new(),
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
            Ok(()) => serve(&mut self, &mut running).await,
            Err(closing) => closing,
        };
        tracing::debug!(?closing, "a websocket ends");
        // What still runs belongs to nobody.
        let Self { socket, store, pushes, pulls, .. } = self;
        drop((pushes, pulls, store));
        tokio::select! {
            biased;
            () = close(socket.into_inner(), closing) => {}
            () = running.reached(Phase::Stopped) => {}
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Closing> {
        for _ in 0..MESSAGES_PER_TURN {
            let Poll::Ready(message) = self.socket.poll_message(cx)? else { return Ok(false) };
            if message.is_binary() {
                let frame = Encoding::Postcard
                    .decode(message.as_payload())
                    .map_err(|error| Closing::with(CloseCode::PROTOCOL_ERROR, &error.to_string()))?;
                self.handle(frame)?;
            } else if message.is_text() {
                return Err(Closing::with(CloseCode::UNSUPPORTED_DATA, "this protocol has no text messages"));
            }
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
        let access = self.access.clone();
        let admitted = async move {
            access.admit_push(&push.events).await?;
            backend.push(push).await
        };
        self.pushes.push(admitted.map(move |outcome| (id, outcome)).boxed());
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
            if self.socket.poll_room(cx)?.is_pending() {
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
        self.socket.send(Message::binary(body))
    }

    fn feed(&mut self, frame: &ServerFrame) -> Result<(), Closing> {
        self.socket.send(Message::binary(Encoding::Postcard.encode(frame)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation for Session<S> {
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Result<bool, Closing> {
        if self.socket.poll_room(cx)?.is_pending() {
            return Ok(false);
        }
        let mut more = self.read(cx)?;
        more |= self.answer_pushes(cx)?;
        more |= self.send_pages(cx)?;
        self.socket.flush(cx)?;
        Ok(more)
    }

    fn drain(&mut self) {
        self.is_draining = true;
        self.pulls.clear();
    }

    fn is_drained(&self) -> bool {
        self.is_draining && self.pushes.is_empty()
    }

    fn expires(&self) -> Option<Instant> {
        self.access.expires()
    }

    fn check_times(&self, now: Instant) -> Option<Closing> {
        self.socket.check_times(now)
    }

    fn shortest_bound(&self) -> Duration {
        self.socket.shortest_bound()
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
