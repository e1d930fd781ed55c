//! How long something took, in percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer times count as this.
const LONGEST_MICROS: u64 = 10 * 60 * 1_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Times, in a bounded room however many there are.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_MICROS, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are in order"))
    }

    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(super) fn summary(&self) -> Summary {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Summary { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: self.0.max() }
    }
}

/// Percentiles in microseconds; zeros if nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_over_all_parts() {
        let (mut even, mut odd) = (Latencies::new(), Latencies::new());
        for micros in 1..=100 {
            let part = if micros % 2 == 0 { &mut even } else { &mut odd };
            part.record(Duration::from_micros(micros));
        }
        even.merge(&odd);
        assert_eq!(even.summary(), Summary { p50: 50, p90: 90, p99: 99, max: 100 });
        assert_eq!(Latencies::new().summary(), Summary { p50: 0, p90: 0, p99: 0, max: 0 });
    }
}
