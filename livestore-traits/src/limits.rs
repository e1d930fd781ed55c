//! Bounds that every part keeps, each with its unit.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

/// How large an event and a batch may be.
///
/// The defaults let every event travel inside LiveStore's frames of 900,000 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The largest event, in bytes as [`SyncedEvent::encoded_len`](crate::SyncedEvent::encoded_len) counts them.
    pub max_event_bytes: usize,
    /// The most events in one push or page.
    pub max_batch_events: usize,
    /// The most bytes of events in one push or page, counted likewise.
    pub max_batch_bytes: usize,
}

impl Limits {
    /// What every backend behind LiveStore's wire delivers, and the default of clients.
    pub const DEFAULT: Self =
        Self { max_event_bytes: 895_000, max_batch_events: 100, max_batch_bytes: 895_000 };

    /// What backends take: whatever a client of LiveStore's wire sends. Such a client counts up to 900,000 bytes of JSON,
    /// for which [`SyncedEvent::encoded_len`](crate::SyncedEvent::encoded_len) is an upper bound that lies at most 637
    /// bytes higher for each of 100 events. An event that were refused for its size would be sent again for ever.
    pub const BACKEND: Self =
        Self { max_event_bytes: 964_000, max_batch_events: 100, max_batch_bytes: 964_000 };

    /// The smaller of each bound: what a wrapper offers whose inner backend allows `other`.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            max_event_bytes: self.max_event_bytes.min(other.max_event_bytes),
            max_batch_events: self.max_batch_events.min(other.max_batch_events),
            max_batch_bytes: self.max_batch_bytes.min(other.max_batch_bytes),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How much one read may return. A read returns at least one event if there is any, however large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// The most events.
    pub events: NonZeroUsize,
    /// No further event is added once this many bytes of args are there.
    pub bytes: usize,
}

impl ReadLimit {
    /// At most `events` events, and at most 4 MiB of args (unless the first event alone is larger).
    ///
    /// # Panics
    /// If `events` is 0.
    #[must_use]
    pub const fn events(events: usize) -> Self {
        Self { events: NonZeroUsize::new(events).expect("a read of no events"), bytes: 4 * 1024 * 1024 }
    }
}
