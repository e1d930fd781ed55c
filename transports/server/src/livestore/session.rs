//! One WebSocket of a LiveStore client: its running pulls and pushes, in one task without queues.
//!
//! A pull that catches up is a few chunks ahead of the client's acknowledgements, so a client that takes its time holds
//! no more than those; once it has caught up, chunks follow as events are accepted and acknowledgements mean nothing.
//! Between any two chunks what the client says is read, so a ping never waits for a log.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use livestore_traits::{PageInfo, PullPage};
use livestore_wire::livestore::{
    Call, ClientFrame, Exit, Failure, Malformed, PullCall, PushCall, Request, RequestId, RpcError,
    ServerFrame, Transport, decode_client_frames, encode_chunk,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_websockets::{CloseCode, Message, WebSocketStream};

use super::pull::{self, Pages, PullEnd};
use super::push::push;
use crate::access::Access;
use crate::hub::Store;
use crate::lifecycle::{Phase, Running};
use crate::limits::ServerLimits;
use crate::ws::{Closing, Conversation, MESSAGES_PER_TURN, Socket, close, serve};

/// How many chunks of a catch-up may wait to be acknowledged. The reference server waits for each one, so a round trip is
/// the least that a hundred events take; its clients have room for 16.
const MAX_UNACKNOWLEDGED: usize = 8;

type PushOutcome = (RequestId, Result<(), RpcError>);

pub(crate) struct Session<S> {
    socket: Socket<S>,
    store: Store,
    access: Access,
    limits: Arc<ServerLimits>,
    pushes: FuturesUnordered<BoxFuture<'static, PushOutcome>>,
    /// The ids of `pushes`, which may not be used again meanwhile.
    pushing: Vec<RequestId>,
    pulls: Vec<RunningPull>,
    opened_at: Instant,
    has_pinged: bool,
    has_pulled: bool,
    is_draining: bool,
}

struct RunningPull {
    id: RequestId,
    pages: Pages,
    is_live: bool,
    /// Whether it has reached the head once. From then on a live pull is a broadcast.
    has_caught_up: bool,
    /// How many chunks of the catch-up wait to be acknowledged.
    unacknowledged: usize,
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
            pushing: Vec::new(),
            pulls: Vec::new(),
            opened_at: Instant::now(),
            has_pinged: false,
            has_pulled: false,
            is_draining: false,
        }
    }

    /// Serves until the peer or the server ends it.
    pub(crate) async fn run(mut self, mut running: Running) {
        let closing = serve(&mut self, &mut running).await;
        tracing::debug!(?closing, "a LiveStore client's websocket ends");
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
            if message.is_text() || message.is_binary() {
                for frame in decode_client_frames(message.as_payload(), Transport::Ws) {
                    self.handle(frame)?;
                }
            }
        }
        Ok(true)
    }

    fn handle(&mut self, frame: Result<ClientFrame, Malformed>) -> Result<(), Closing> {
        match frame {
            Ok(ClientFrame::Request(Request { id, .. })) if self.is_running(&id) => {
                Err(Closing::with(CloseCode::PROTOCOL_ERROR, "two running requests have one id"))
            }
            Ok(ClientFrame::Request(Request { id, call: Call::Pull(call) })) => self.start_pull(id, call),
            Ok(ClientFrame::Request(Request { id, call: Call::Push(call) })) => self.start_push(id, call),
            Ok(ClientFrame::Request(Request { id, call: Call::Ping })) => self.exit(id, Exit::Pong),
            Ok(ClientFrame::Ack(id)) => {
                // The pull may be over, or past the stage where this means anything.
                if let Some(pull) = self.pulls.iter_mut().find(|pull| pull.id == id) {
                    pull.unacknowledged = pull.unacknowledged.saturating_sub(1);
                }
                Ok(())
            }
            Ok(ClientFrame::Interrupt(id)) => self.interrupt(id),
            Ok(ClientFrame::Ping) => {
                self.has_pinged = true;
                self.send(&ServerFrame::Pong)
            }
            // A client that says so and then goes on is served as any other.
            Ok(ClientFrame::Eof) => Ok(()),
            Err(malformed) => match malformed.answer() {
                Some(answer) => self.send(&answer),
                None => Err(Closing::with(CloseCode::PROTOCOL_ERROR, &malformed.to_string())),
            },
        }
    }

    fn is_running(&self, id: &RequestId) -> bool {
        self.pulls.iter().any(|pull| pull.id == *id) || self.pushing.contains(id)
    }

    fn start_pull(&mut self, id: RequestId, call: PullCall) -> Result<(), Closing> {
        self.has_pulled = true;
        if self.is_draining {
            // The connection is about to close, which is what makes the client pull again elsewhere.
            return Ok(());
        }
        if self.pulls.len() >= self.limits.max_pulls_per_connection {
            return Err(Closing::with(CloseCode::POLICY_VIOLATION, "too many pulls are running"));
        }
        let is_live = call.live;
        let pages = pull::pages(self.store.backend().clone(), call, self.limits.poll_interval);
        self.pulls.push(RunningPull { id, pages, is_live, has_caught_up: false, unacknowledged: 0 });
        Ok(())
    }

    fn start_push(&mut self, id: RequestId, call: PushCall) -> Result<(), Closing> {
        let Some(batch) = call.into_push() else { return self.exit(id, Exit::Accepted) };
        let busy = if self.is_draining {
            Some("the server is going away")
        } else if self.pushing.len() >= self.limits.max_pushes_per_connection {
            Some("too many pushes are running")
        } else {
            None
        };
        if let Some(reason) = busy {
            return self.exit(id, failed(RpcError::unknown("UnavailableError", reason)));
        }
        let backend = self.store.backend().clone();
        let limits = self.store.capabilities().limits;
        let access = self.access.clone();
        self.pushing.push(id.clone());
        self.pushes.push(async move { (id, push(backend, &access, batch, limits).await) }.boxed());
        Ok(())
    }

    /// Ends a pull. A push goes on: it may be accepted already, and its client ignores the answer.
    fn interrupt(&mut self, id: RequestId) -> Result<(), Closing> {
        let Some(index) = self.pulls.iter().position(|pull| pull.id == id) else { return Ok(()) };
        self.pulls.swap_remove(index);
        self.exit(id, Exit::Failed(Failure::Interrupt))
    }

    /// The pushes that are over by now.
    fn poll_pushes(&mut self, cx: &mut Context<'_>) -> Vec<PushOutcome> {
        let mut outcomes = Vec::new();
        while let Poll::Ready(Some(outcome)) = self.pushes.poll_next_unpin(cx) {
            self.pushing.retain(|id| *id != outcome.0);
            outcomes.push(outcome);
        }
        outcomes
    }

    fn answer_pushes(&mut self, outcomes: Vec<PushOutcome>) -> Result<(), Closing> {
        for (id, outcome) in outcomes {
            self.exit(id, outcome.map_or_else(failed, |()| Exit::Accepted))?;
        }
        Ok(())
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
                    let body = self.store.items().body(&page);
                    let pull = &mut self.pulls[index];
                    let info = pull.note_sent(&page);
                    let chunk = encode_chunk(&pull.id, &body, info);
                    self.socket.send(Message::text(chunk))?;
                    more = true;
                    index += 1;
                }
                Poll::Ready(end) => {
                    let RunningPull { id, is_live, .. } = self.pulls.swap_remove(index);
                    match end {
                        Some(Err(PullEnd::Mismatch(error))) => self.exit(id, failed(error))?,
                        None if !is_live => self.exit(id, Exit::Ended)?,
                        // A client that is told of it never pulls again; one that loses its connection does.
                        _ => return Err(Closing::with(CloseCode::INTERNAL_SERVER_ERROR, "a pull failed")),
                    }
                }
            }
        }
        Ok(more)
    }

    fn exit(&mut self, request_id: RequestId, exit: Exit) -> Result<(), Closing> {
        self.send(&ServerFrame::Exit { request_id, exit })
    }

    fn send(&mut self, frame: &ServerFrame) -> Result<(), Closing> {
        self.socket.send(Message::text(frame.encode()))
    }
}

fn failed(error: RpcError) -> Exit {
    Exit::Failed(Failure::Error(error))
}

impl RunningPull {
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<PullPage, PullEnd>>> {
        let may_go_on = if self.has_caught_up {
            // What follows is a broadcast, or the end, which comes when everything is acknowledged.
            self.is_live || self.unacknowledged == 0
        } else {
            self.unacknowledged < MAX_UNACKNOWLEDGED
        };
        if !may_go_on {
            // An acknowledgement is what goes on here, and reading it polls again.
            return Poll::Pending;
        }
        self.pages.poll_next_unpin(cx)
    }

    /// Takes note of a page that is sent; says what its reader is told of what follows.
    fn note_sent(&mut self, page: &PullPage) -> PageInfo {
        if self.is_live && self.has_caught_up {
            return PageInfo::CaughtUp;
        }
        self.has_caught_up = page.info == PageInfo::CaughtUp;
        self.unacknowledged += 1;
        page.info
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation for Session<S> {
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Result<bool, Closing> {
        if self.socket.poll_room(cx)?.is_pending() {
            return Ok(false);
        }
        let mut more = self.read(cx)?;
        // A push that is over is visible to pulls: taken in this order, its echo comes before its answer, as clients of
        // this protocol are used to.
        let outcomes = self.poll_pushes(cx);
        more |= self.send_pages(cx)?;
        self.answer_pushes(outcomes)?;
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
        // After a ping timeout a 0.4.0 client connects anew but does not pull again, until it loses that connection too.
        let is_stuck = self.has_pinged && !self.has_pulled;
        if is_stuck && now.duration_since(self.opened_at) >= self.limits.first_pull_timeout {
            return Some(Closing::with(CloseCode::POLICY_VIOLATION, "no pull came"));
        }
        self.socket.check_times(now)
    }

    fn shortest_bound(&self) -> Duration {
        self.socket.shortest_bound().min(self.limits.first_pull_timeout)
    }
}
