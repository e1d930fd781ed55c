//! Wakes readers when bytes arrive.
//!
//! One task sleeps until the next arrival, whatever connection it is of, and wakes all readers that are due in the order
//! of their names. So what arrives in one moment is always read in one order, in whichever order it was written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A direction of a connection: client, server, which one of theirs, and whether it is that to the client.
pub(crate) type LaneKey = (Arc<str>, Arc<str>, u64, bool);

#[derive(Debug, Default)]
pub(crate) struct Pump {
    due: Mutex<BTreeMap<(Instant, LaneKey), Waker>>,
    /// Rings when there is something earlier, or nothing any more.
    bell: Arc<Notify>,
    is_running: AtomicBool,
}

impl Pump {
    /// Starts on the runtime of the first connection.
    pub(crate) fn start(self: &Arc<Self>) {
        if !self.is_running.swap(true, Ordering::Relaxed) {
            tokio::spawn(run(Arc::downgrade(self), self.bell.clone()));
        }
    }

    pub(crate) fn schedule(&self, at: Instant, key: LaneKey, waker: Waker) {
        let mut due = self.lock();
        let is_first = due.first_key_value().is_none_or(|((first, _), _)| at < *first);
        due.insert((at, key), waker);
        if is_first {
            self.bell.notify_one();
        }
    }

    pub(crate) fn cancel(&self, at: Instant, key: &LaneKey) {
        self.lock().remove(&(at, key.clone()));
    }

    /// Those whose time has come, and when the next one's comes.
    fn take_due(&self, now: Instant) -> (Vec<Waker>, Option<Instant>) {
        let mut due = self.lock();
        let mut wakers = Vec::new();
        while let Some(entry) = due.first_entry().filter(|entry| entry.key().0 <= now) {
            wakers.push(entry.remove());
        }
        (wakers, due.first_key_value().map(|((at, _), _)| *at))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Instant, LaneKey), Waker>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

async fn run(pump: Weak<Pump>, bell: Arc<Notify>) {
    loop {
        let Some((wakers, next)) = pump.upgrade().map(|pump| pump.take_due(Instant::now())) else { return };
        wakers.into_iter().for_each(Waker::wake);
        let Some(next) = next else {
            bell.notified().await;
            continue;
        };
        tokio::select! {
            biased;
            () = bell.notified() => {}
            () = sleep_until(next) => {}
        }
    }
}
