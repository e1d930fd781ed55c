//! The bounds and the clock of a storage's logs.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use livestore_traits::{Limits, UnixMillis};

/// Tells the time that accepted events are stamped with.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> UnixMillis + Send + Sync>);

impl Clock {
    /// The time of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
        })
    }

    /// A clock of one's own, for example a simulated one.
    pub fn new(now: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Bounds of the logs of one storage, each with its unit.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// How large events, pushes and pages may be.
    pub limits: Limits,
    /// Recent events of each open store that are kept in memory for live pulls, in bytes. The last batch is always
    /// kept, however large.
    pub tail_bytes: usize,
    /// Recent events of all open stores together that are kept in memory, in bytes: an event that as many bytes of
    /// later ones have followed, in whichever stores, is read from the storage again.
    pub tails_bytes: usize,
    /// Pushes that wait to be written, over all stores, in bytes; further ones wait in their callers.
    pub queue_bytes: usize,
    /// Pushes that are made durable together, in bytes.
    pub group_bytes: usize,
    /// Stamps accepted events.
    pub clock: Clock,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            limits: Limits::BACKEND,
            tail_bytes: 128 * 1024,
            tails_bytes: 64 * 1024 * 1024,
            queue_bytes: 64 * 1024 * 1024,
            group_bytes: 4 * 1024 * 1024,
            clock: Clock::system(),
        }
    }
}
