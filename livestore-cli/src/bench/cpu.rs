//! How busy the load generator itself is. Where that is all it can be, the figures are its own and not the server's.

use std::time::Duration;

use tokio::time::Instant;

/// What Linux counts processor time in, on every machine it runs on today.
const TICKS_PER_SECOND: f64 = 100.0;

/// A time during which the processor time of this process is watched.
#[derive(Debug)]
pub(super) struct CpuWatch {
    since: Instant,
    used: Option<Duration>,
}

impl CpuWatch {
    pub(super) fn start() -> Self {
        Self { since: Instant::now(), used: used() }
    }

    /// How many cores this process kept busy, where the system tells.
    pub(super) fn cores(&self) -> Option<f64> {
        let used = used()?.saturating_sub(self.used?);
        Some(used.as_secs_f64() / self.since.elapsed().as_secs_f64().max(0.001))
    }
}

fn used() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_SECOND))
}
