//! How a server ends: first it drains, then it stops.
//!
//! ```text
//! Serving ── shutdown() ──▶ Draining ── all done, or the deadline ──▶ Stopped
//! ```
//!
//! Everything that runs for the server holds a [`Running`]; a shutdown waits until the last one is dropped. So what runs
//! drops it last, after all that it holds of the data. Dropping the [`Lifecycle`] without a shutdown stops everything at
//! once.

use std::time::Duration;

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Finish what is in flight, begin nothing new.
    Draining,
    /// Drop everything.
    Stopped,
}

#[derive(Debug)]
pub(crate) struct Lifecycle(watch::Sender<Phase>);

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Registers something that a shutdown waits for.
    pub(crate) fn enter(&self) -> Running {
        Running(self.0.subscribe())
    }

    /// Drops everything.
    pub(crate) fn stop(&self) {
        self.0.send_replace(Phase::Stopped);
    }

    /// Drains; what is not done after `timeout` is dropped. Returns whether all was done in time.
    pub(crate) async fn shutdown(&self, timeout: Duration) -> bool {
        self.0.send_if_modified(|phase| {
            let changed = *phase == Phase::Serving;
            if changed {
                *phase = Phase::Draining;
            }
            changed
        });
        let in_time = tokio::time::timeout(timeout, self.0.closed()).await.is_ok();
        self.stop();
        self.0.closed().await;
        in_time
    }
}

/// Held by whatever runs for a server.
#[derive(Clone, Debug)]
pub(crate) struct Running(watch::Receiver<Phase>);

impl Running {
    pub(crate) fn phase(&self) -> Phase {
        // A lifecycle that was dropped can't be shut down any more: stop.
        if self.0.has_changed().is_err() { Phase::Stopped } else { *self.0.borrow() }
    }

    /// Waits until `phase`, or a later one, is reached.
    pub(crate) async fn reached(&mut self, phase: Phase) {
        // An error means that the lifecycle was dropped, which is the last phase of all.
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}
