//! How long to wait before the next attempt, and when to give up.

use std::num::NonZeroU32;
use std::time::Duration;

/// How persistent a [`Retry`](crate::Retry) is.
///
/// The wait before attempt `n + 1` is drawn between one half and the whole of `first_delay * 2^(n-1)`, at most
/// `max_delay`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryConfig {
    /// The longest wait after the first failure.
    pub first_delay: Duration,
    /// The longest wait ever. A pull that lasted at least this long counts as having worked.
    pub max_delay: Duration,
    /// Attempts in a row without success before the error is passed on; 1 never retries.
    pub max_attempts: NonZeroU32,
    /// Where the jitter comes from. Clients of one backend need different seeds, or they all come back at once.
    pub seed: u64,
}

impl RetryConfig {
    /// Up to five attempts with waits from 50–100 ms on, so that a caller hears within two seconds of a fault that
    /// stays.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            max_attempts: NonZeroU32::new(5).expect("five is not zero"),
            seed,
        }
    }
}

/// The failures of one push or one pull, in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    config: RetryConfig,
    jitter: fastrand::Rng,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(config: RetryConfig, jitter: fastrand::Rng) -> Self {
        Self { config, jitter, failures: 0 }
    }

    /// The wait after one more failure, or `None` if it was the last one allowed.
    pub(crate) fn after_failure(&mut self) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= self.config.max_attempts.get() {
            return None;
        }
        let doublings = (self.failures - 1).min(31);
        let longest = self.config.first_delay.saturating_mul(1 << doublings).min(self.config.max_delay);
        Some(longest.mul_f64(0.5 + self.jitter.f64() / 2.0))
    }

    /// Begins anew after a success.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long something must last to count as a success by that alone.
    pub(crate) const fn proves_itself_after(&self) -> Duration {
        self.config.max_delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(seed: u64, max_attempts: u32) -> Backoff {
        let config =
            RetryConfig { max_attempts: NonZeroU32::new(max_attempts).unwrap(), ..RetryConfig::new(seed) };
        Backoff::new(config, fastrand::Rng::with_seed(seed))
    }

    #[test]
    fn waits_double_up_to_the_longest_and_are_jittered() {
        let mut backoff = backoff(1, 100);
        let longest = [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000];
        for longest in longest.map(Duration::from_millis) {
            let wait = backoff.after_failure().unwrap();
            assert!(
                longest / 2 <= wait && wait <= longest,
                "{wait:?} is not in the upper half of {longest:?}"
            );
        }
        backoff.reset();
        assert!(backoff.after_failure().unwrap() <= Duration::from_millis(100));
    }

    #[test]
    fn a_seed_fixes_the_waits_and_another_gives_others() {
        let waits = |seed| {
            let mut backoff = backoff(seed, 6);
            std::iter::from_fn(move || backoff.after_failure()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1).len(), 5, "six attempts have five waits between them");
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn one_attempt_means_no_retry() {
        assert_eq!(backoff(1, 1).after_failure(), None);
    }
}
