//! Waiting times between tries: exponential, jittered, reset by success.

use std::time::{Duration, Instant};

/// A small deterministic source for jitter (SplitMix64): processors take their randomness as a seed.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between half of `duration` and all of it.
    pub(super) fn apply(&mut self, duration: Duration) -> Duration {
        let half = duration / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(self.next() % span)
    }
}

/// How long to wait after the n-th failure in a row.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// When to try again after a further failure.
    pub(super) fn failed(&mut self, now: Instant, jitter: &mut Jitter) -> Instant {
        let wait = self.min.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        now + jitter.apply(wait)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant is a good beginning")]
    fn waits_double_up_to_the_limit_and_begin_anew_after_success() {
        let (now, mut jitter) = (Instant::now(), Jitter::new(7));
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(min, max);
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = backoff.failed(now, &mut jitter) - now;
            let full = Duration::from_millis(expected);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} is not jittered from {full:?}");
        }
        backoff.reset();
        assert!(backoff.failed(now, &mut jitter) - now <= min);
    }

    #[test]
    fn waits_of_different_clients_are_spread() {
        let second = Duration::from_secs(1);
        let waits: BTreeSet<Duration> = (0..100).map(|seed| Jitter::new(seed).apply(second)).collect();
        assert!(waits.len() > 90, "{waits:?}");
        let mut jitter = Jitter::new(1);
        let waits: BTreeSet<Duration> = (0..100).map(|_| jitter.apply(second)).collect();
        assert!(waits.len() > 90, "{waits:?}");
    }
}
