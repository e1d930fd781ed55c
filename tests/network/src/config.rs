//! How a link behaves while nothing is wrong with it.

use std::time::Duration;

/// A link between two hosts. Both directions of each connection have these bounds, and draw their own delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// How long bytes are under way at least.
    pub latency: Duration,
    /// How much longer they may be under way. Each write draws its own, and none overtakes another of its connection.
    pub jitter: Duration,
    /// What finding the host takes at most, beside the round trip of connecting.
    pub lookup: Duration,
    /// How many bytes a second each direction of a connection carries; `None` for any number.
    pub bytes_per_second: Option<u32>,
    /// How many bytes a writer may be ahead of its reader, per direction of a connection.
    pub buffer_bytes: usize,
}

impl LinkConfig {
    /// Nothing takes time, and nothing is bounded but the buffers.
    pub const IDEAL: Self = Self {
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        lookup: Duration::ZERO,
        bytes_per_second: None,
        buffer_bytes: 64 * 1024,
    };

    /// A phone's connection: 40 to 100 ms, 500 kB/s.
    pub const MOBILE: Self = Self {
        latency: Duration::from_millis(40),
        jitter: Duration::from_millis(60),
        lookup: Duration::from_millis(200),
        bytes_per_second: Some(500_000),
        buffer_bytes: 64 * 1024,
    };
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self::MOBILE
    }
}
