//! Writes down what clients ask and hear.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use livestore_traits::SyncedEvent;

use crate::checker::Timed;
use crate::log::{EventId, Operation};

/// What happened, in no order.
pub type History = Vec<Timed<Operation>>;

/// Shared by all clients of a history.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    clock: AtomicU64,
    history: Mutex<History>,
    /// Every event that was ever pushed, by the text of its args, which no two share.
    pushed: Mutex<HashMap<String, (EventId, SyncedEvent)>>,
}

impl Recorder {
    /// The time now; each time is told once.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes an operation.
    pub fn record(&self, timed: Timed<Operation>) {
        lock(&self.0.history).push(timed);
    }

    /// The ids of events that are about to be pushed.
    pub fn pushed(&self, events: &[SyncedEvent]) -> Arc<[EventId]> {
        let mut pushed = lock(&self.0.pushed);
        let mut ids = Vec::new();
        for event in events {
            let next = u32::try_from(pushed.len()).unwrap_or(u32::MAX).saturating_add(1);
            let known = pushed.entry(event.args.as_str().to_owned()).or_insert((next, event.clone()));
            ids.push(known.0);
        }
        ids.into()
    }

    /// The ids of events that were pulled; 0 where nobody pushed such a one, or its number is not its place.
    #[must_use]
    pub fn pulled(&self, after: usize, events: &[SyncedEvent]) -> Vec<EventId> {
        let pushed = lock(&self.0.pushed);
        let known = |(place, event): (usize, &SyncedEvent)| {
            let is_in_place = event.seq.0 == place as u64 && event.parent.0 + 1 == event.seq.0;
            match pushed.get(event.args.as_str()) {
                Some((id, original)) if is_in_place && original.has_same_content(event) => *id,
                _ => 0,
            }
        };
        (after + 1..).zip(events).map(known).collect()
    }

    /// All that was noted so far.
    #[must_use]
    pub fn history(&self) -> History {
        lock(&self.0.history).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is noted is whole, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
