//! A client's connection over a link: how it learns that nobody is there any more.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{self, StreamExt as _};
use livestore_traits::{BoxStream, ConnectionStatus};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::link::{Condition, Direction, Link, LinkState};

/// Why a connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the network is partitioned")]
    Unreachable,
    #[error("the connection was cut")]
    Cut,
    #[error("nothing was heard in time")]
    TimedOut,
}

/// What one request and its answers travel on. It does not survive a partition, however short.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    link: Link,
    opened: Instant,
    cuts: u64,
}

impl Connection {
    pub(crate) fn open(link: &Link) -> Result<Self, Broken> {
        let state = link.state();
        if state.condition == Condition::Partitioned {
            return Err(Broken::Unreachable);
        }
        Ok(Self { link: link.clone(), opened: Instant::now(), cuts: state.cuts })
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.link.config().timeout
    }

    /// Waits for a message to travel for `delay`, and says whether it arrived.
    pub(crate) async fn travel(&self, direction: Direction, delay: Duration) -> bool {
        // Timers round up to a millisecond: without latency none is due.
        if !delay.is_zero() {
            sleep(delay).await;
        }
        self.arrives(direction)
    }

    /// Whether a message that arrives now gets through.
    pub(crate) fn arrives(&self, direction: Direction) -> bool {
        let state = self.link.state();
        let arrives = state.cuts == self.cuts && state.carries(direction);
        if !arrives {
            self.link.count_lost();
        }
        arrives
    }

    /// Resolves when the client learns that the connection is of no use.
    pub(crate) async fn broken(&self) -> Broken {
        loop {
            let state = self.link.state();
            if state.cuts != self.cuts {
                return Broken::Cut;
            }
            let change = self.link.changed(state);
            match state.silent_since() {
                None => change.await,
                Some(since) => {
                    // A client that began in the silence waits its whole time.
                    let gives_up = since.max(self.opened) + self.timeout();
                    if timeout_at(gives_up, change).await.is_err() {
                        return Broken::TimedOut;
                    }
                }
            }
        }
    }

    /// Runs `work` unless the client learns before that the connection is of no use.
    pub(crate) async fn or_broken<T>(&self, work: impl Future<Output = T>) -> Result<T, Broken> {
        // What is ready counts before what broke, so that an answer that arrived is not thrown away.
        match select(pin!(work), pin!(self.broken())).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right((broken, _)) => Err(broken),
        }
    }
}

/// The statuses that the client of `link` sees: silence shows only after the timeout.
pub(crate) fn statuses(link: Link) -> BoxStream<'static, ConnectionStatus> {
    stream::unfold((link, None), |(link, last)| async move {
        loop {
            let state = link.state();
            let (status, until) = status(state, link.config().timeout);
            if last != Some(status) {
                return Some((status, (link, Some(status))));
            }
            let expired = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            select(pin!(link.changed(state)), pin!(expired)).await;
        }
    })
    .boxed()
}

/// The status now, and when it changes by itself.
fn status(state: LinkState, timeout: Duration) -> (ConnectionStatus, Option<Instant>) {
    match state.silent_since().map(|since| since + timeout) {
        Some(noticed) if noticed > Instant::now() => (ConnectionStatus::Connected, Some(noticed)),
        Some(_) => (ConnectionStatus::Connecting, None),
        None if state.condition == Condition::Up => (ConnectionStatus::Connected, None),
        None => (ConnectionStatus::Offline, None),
    }
}
