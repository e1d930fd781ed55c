//! Keeps a client connected: connects, backs off, and lends its commands to the connection of the moment.

use std::collections::VecDeque;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// What a client speaks over a connection that is made again whenever it breaks.
pub trait Protocol: Send {
    /// What the client's handles ask for.
    type Command: Send;
    /// A connection that works.
    type Connection: Send;
    /// Why there is none.
    type Error: Error + Send + 'static;

    /// Connects, up to the first sign that the server is there.
    fn open(&mut self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// A connection was made, or the next attempt to make one begins.
    fn set_connected(&mut self, connection: Option<&Self::Connection>);

    /// Serves commands until the connection breaks or nobody uses it.
    fn run(
        &mut self,
        connection: Self::Connection,
        commands: &mut Commands<Self::Command>,
    ) -> impl Future<Output = Ended<Self::Error>> + Send;

    /// Keeps a command until there is a connection, or drops it with those that it takes back.
    fn queue(waiting: &mut VecDeque<Self::Command>, command: Self::Command);

    /// Answers a command that was not sent.
    fn fail(command: Self::Command, error: &Self::Error);

    /// What it is called that connecting took too long.
    fn timeout() -> Self::Error;

    /// What it is called that the connection panicked: a server must not be able to end more than its connection.
    fn panicked() -> Self::Error;
}

/// The commands of the handles: those that waited for a connection first.
#[derive(Debug)]
pub struct Commands<C> {
    /// Those that waited.
    pub waiting: VecDeque<C>,
    /// The others.
    pub receiver: mpsc::UnboundedReceiver<C>,
}

/// How a connection ended.
#[derive(Debug)]
pub enum Ended<E> {
    /// Nobody uses it any more.
    Abandoned,
    /// It broke.
    Lost(E),
}

/// All handles are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

/// How long attempts take, and how far they are apart.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// The first backoff, and the least time between two attempts.
    pub min_backoff: Duration,
    /// The longest backoff.
    pub max_backoff: Duration,
}

/// Runs until the senders of `receiver` are gone.
///
/// The backoff is jittered, doubles with each failure and starts anew after a success. A command that comes while it
/// waits shortens the wait to [`Pace::min_backoff`]; one that comes while an attempt runs shares its outcome.
///
/// # Cancel safety
/// Dropping it drops the connection and the commands with it.
pub async fn keep_connected<P: Protocol>(
    mut protocol: P,
    pace: Pace,
    receiver: mpsc::UnboundedReceiver<P::Command>,
) {
    let mut commands = Commands { waiting: VecDeque::new(), receiver };
    let mut failures = 0_u32;
    loop {
        protocol.set_connected(None);
        let Ok(opened) = open(&mut protocol, pace, &mut commands).await else { return };
        let error = match opened {
            Ok(connection) => {
                failures = 0;
                protocol.set_connected(Some(&connection));
                match caught::<P, _>(protocol.run(connection, &mut commands)).await {
                    Ok(Ended::Abandoned) => return,
                    Ok(Ended::Lost(error)) | Err(error) => error,
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                for command in commands.waiting.drain(..) {
                    P::fail(command, &error);
                }
                error
            }
        };
        protocol.set_connected(None);
        tracing::debug!(error = &error as &dyn Error, "no connection");
        if back_off::<P>(pace, failures, &mut commands).await.is_err() {
            return;
        }
    }
}

/// One attempt. Commands that come meanwhile wait for its outcome.
async fn open<P: Protocol>(
    protocol: &mut P,
    pace: Pace,
    commands: &mut Commands<P::Command>,
) -> Result<Result<P::Connection, P::Error>, Abandoned> {
    let attempt = timeout(pace.connect_timeout, caught::<P, _>(protocol.open()));
    let mut attempt = std::pin::pin!(attempt);
    loop {
        tokio::select! {
            // A command that comes in the same moment is for the connection, or for the next attempt.
            biased;
            opened = attempt.as_mut() => return Ok(opened.unwrap_or_else(|_| Err(P::timeout())).flatten()),
            command = commands.receiver.recv() => {
                P::queue(&mut commands.waiting, command.ok_or(Abandoned)?);
            }
        }
    }
}

/// Waits until the next attempt is due; a command makes it due soon.
async fn back_off<P: Protocol>(
    pace: Pace,
    failures: u32,
    commands: &mut Commands<P::Command>,
) -> Result<(), Abandoned> {
    let started = Instant::now();
    let mut due = started + backoff(pace, failures);
    loop {
        tokio::select! {
            // The wait ends when it is due, however many commands come.
            biased;
            () = sleep_until(due) => return Ok(()),
            command = commands.receiver.recv() => {
                P::queue(&mut commands.waiting, command.ok_or(Abandoned)?);
                if !commands.waiting.is_empty() {
                    due = due.min(started + pace.min_backoff);
                }
            }
        }
    }
}

async fn caught<P: Protocol, T>(work: impl Future<Output = T>) -> Result<T, P::Error> {
    // What panicked is dropped, and the commands it had with it, whose callers learn that nobody answers.
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| P::panicked())
}

/// A random part of a bound that doubles with each failure, so that clients that lost one server don't all come back at
/// the same moment.
fn backoff(pace: Pace, failures: u32) -> Duration {
    let doubled = pace.min_backoff.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    let bound = doubled.min(pace.max_backoff);
    bound.mul_f64(if failures == 0 { fastrand::f64() } else { 0.5 + fastrand::f64() / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_its_bound_and_is_jittered() {
        let pace = Pace {
            connect_timeout: Duration::from_secs(10),
            min_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(20),
        };
        for (failures, bound_ms) in
            [(1, 400), (2, 800), (6, 12_800), (7, 20_000), (40, 20_000), (u32::MAX, 20_000)]
        {
            let bound = Duration::from_millis(bound_ms);
            for _ in 0..100 {
                let delay = backoff(pace, failures);
                assert!(bound / 2 <= delay && delay <= bound, "{delay:?} after {failures} failures");
            }
        }
        // After a connection that worked, clients come back at once, but not all in the same moment.
        assert!((0..100).all(|_| backoff(pace, 0) <= pace.min_backoff));
    }
}
