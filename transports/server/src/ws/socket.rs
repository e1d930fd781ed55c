//! A WebSocket that is read and written in turns, and watched: whether the peer says anything. Whether it takes anything is
//! watched by the stream below (`write_timeout.rs`), which sees bytes where this sees messages.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_websockets::{CloseCode, Error, Message, WebSocketStream};

use super::closing::Closing;
use crate::limits::ServerLimits;

pub(crate) struct Socket<S> {
    inner: WebSocketStream<S>,
    limits: Arc<ServerLimits>,
    /// When the peer last said anything, or could not be heard: while the socket has no room, nothing is read.
    heard_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) fn new(inner: WebSocketStream<S>, limits: Arc<ServerLimits>) -> Self {
        Self { inner, limits, heard_at: Instant::now() }
    }

    pub(crate) fn into_inner(self) -> WebSocketStream<S> {
        self.inner
    }

    /// The time after which the socket wants to be checked.
    pub(crate) fn shortest_bound(&self) -> Duration {
        self.limits.idle_timeout
    }

    /// Whether the peer has been silent for too long.
    pub(crate) fn check_times(&self, now: Instant) -> Option<Closing> {
        let is_idle = now.saturating_duration_since(self.heard_at) >= self.limits.idle_timeout;
        is_idle.then(|| Closing::with(CloseCode::POLICY_VIOLATION, "nothing was heard for too long"))
    }

    /// Ready while the socket's queue is short.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Closing> {
        let room = self.inner.poll_ready_unpin(cx)?;
        if room.is_pending() {
            self.heard_at = Instant::now();
        }
        Ok(room)
    }

    /// The next message, if there is one. The socket answers pings and closes by itself.
    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>) -> Result<Poll<Message>, Closing> {
        match self.inner.poll_next_unpin(cx) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Some(message)) => {
                self.heard_at = Instant::now();
                Ok(Poll::Ready(message?))
            }
            Poll::Ready(None) => Err(Closing::Dead),
        }
    }

    pub(crate) fn send(&mut self, message: Message) -> Result<(), Closing> {
        Ok(self.inner.start_send_unpin(message)?)
    }

    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), Closing> {
        let _ = self.inner.poll_flush_unpin(cx)?;
        Ok(())
    }
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
