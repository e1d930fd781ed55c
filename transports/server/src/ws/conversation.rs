//! What every WebSocket does, whatever it speaks: it takes turns until it is to end, drains and stops with the server.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_websockets::CloseCode;

use super::closing::Closing;
use crate::lifecycle::{Phase, Running};

/// How many messages are read before what is ready is answered.
pub(crate) const MESSAGES_PER_TURN: usize = 32;
/// A timer of no length would spin.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// One WebSocket's side of what is said.
pub(crate) trait Conversation {
    /// One turn. Whether there may be more to do at once.
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Result<bool, Closing>;
    /// The server is going away: begins nothing new from now on, and drops what never ends.
    fn drain(&mut self);
    /// Whether it was told to drain, and nothing is left to do.
    fn is_drained(&self) -> bool;
    /// When the peer's access ends, if it does.
    fn expires(&self) -> Option<Instant>;
    /// Whether something took too long. Asked at least twice within `shortest_bound`.
    fn check_times(&self, now: Instant) -> Option<Closing>;
    fn shortest_bound(&self) -> Duration;
}

/// Works until the peer or the server ends it; says how.
pub(crate) async fn serve(conversation: &mut impl Conversation, running: &mut Running) -> Closing {
    // Looking twice per bound ends a connection at most half as late again, and costs an idle one next to nothing.
    let mut checks = tokio::time::interval((conversation.shortest_bound() / 2).max(MIN_CHECK_INTERVAL));
    let mut next_phase = Phase::Draining;
    let expires = conversation.expires();
    let mut expired = pin!(async move {
        match expires {
            Some(at) => tokio::time::sleep_until(at).await,
            None => pending().await,
        }
    });
    loop {
        tokio::select! {
            biased;
            () = running.reached(next_phase) => {
                if running.phase() == Phase::Stopped {
                    return Closing::Dead;
                }
                next_phase = Phase::Stopped;
                conversation.drain();
            }
            () = expired.as_mut() => return Closing::expired(),
            closing = poll_fn(|cx| poll_turn(conversation, cx)) => return closing,
            now = checks.tick() => {
                if let Some(closing) = conversation.check_times(now) {
                    return closing;
                }
            }
        }
    }
}

/// Works until there is nothing to do for now; ready when the connection is to end.
fn poll_turn(conversation: &mut impl Conversation, cx: &mut Context<'_>) -> Poll<Closing> {
    loop {
        match conversation.poll_once(cx) {
            Ok(true) => {}
            Ok(false) if conversation.is_drained() => {
                return Poll::Ready(Closing::with(CloseCode::GOING_AWAY, "the server is going away"));
            }
            Ok(false) => return Poll::Pending,
            Err(closing) => return Poll::Ready(closing),
        }
    }
}
