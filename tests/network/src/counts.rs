//! What happened, in numbers.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::connection::Side;

/// What a network counts. Those from [`Partition`](Self::Partition) on are faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Count {
    /// Connections that came about.
    Connected,
    /// Writes that had to wait because the reader was behind.
    BackPressure,
    /// Attempts to connect that were refused.
    Refused,
    /// Attempts to connect that were never answered.
    Unanswered,
    /// Two hosts were parted.
    Partition,
    /// Directions of connections whose bytes began to vanish, in a partition or without one.
    HalfOpen,
    /// Connections that both sides lost.
    Cut,
    /// Lanes that ended in the middle of what was under way.
    Truncation,
    /// Answers that were lost after their request was delivered.
    LostAnswer,
    /// Times that a link stood still.
    Stall,
    /// Hosts that went away.
    Crash,
    /// Hosts that began to read slowly.
    SlowReader,
}

/// Shared by all parts of a network.
#[derive(Debug)]
pub(crate) struct Counts {
    began: Instant,
    inner: Mutex<(BTreeMap<Count, u64>, u64)>,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), inner: Mutex::default() }
    }

    pub(crate) fn add(&self, count: Count) {
        *self.lock().0.entry(count).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<Count, u64> {
        self.lock().0.clone()
    }

    /// Takes a write into the digest. A sum, so that the order within one moment does not matter.
    pub(crate) fn note_write(&self, name: &(Arc<str>, Arc<str>, u64), side: Side, len: usize, now: Instant) {
        let mut hasher = DefaultHasher::new();
        (name, side as u8, len, now.duration_since(self.began)).hash(&mut hasher);
        let mut inner = self.lock();
        inner.1 = inner.1.wrapping_add(hasher.finish());
    }

    pub(crate) fn digest(&self) -> u64 {
        self.lock().1
    }

    fn lock(&self) -> MutexGuard<'_, (BTreeMap<Count, u64>, u64)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
