//! What was measured, as a table whose rows appear one by one, or as JSON at the end.

use std::time::Duration;

use serde::Serialize;

use super::latency::{Latencies, Summary};
use super::push::{Load, Tally};

/// From this share of its threads on, the load generator itself is what bounds a figure.
const BUSY: f64 = 0.9;

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) url: String,
    pub(super) dialect: &'static str,
    pub(super) seconds: f64,
    pub(super) event_bytes: u64,
    pub(super) threads: usize,
    pub(super) push: Vec<PushRow>,
    pub(super) pull: Vec<PullRow>,
    pub(super) fan_out: Vec<FanOutRow>,
    /// Events that were read back and compared.
    pub(super) verified_events: u64,
    /// Whether everything that was to be measured was.
    pub(super) complete: bool,
}

/// Pushes. Times are in microseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PushRow {
    clients: usize,
    stores: usize,
    batch: u64,
    pushes: u64,
    pushes_per_second: f64,
    events_per_second: f64,
    /// Because another client was faster.
    refused_per_second: f64,
    /// Pushes to which the server answered that it failed.
    failed: u64,
    ack_micros: Summary,
    /// Cores that the load generator kept busy.
    client_cpu: Option<f64>,
    #[serde(rename = "verifiedEvents")]
    pub(super) verified: u64,
}

/// Pulls of a whole log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PullRow {
    events: u64,
    pulls: usize,
    /// Of the median pull.
    events_per_second: f64,
    first_page_micros: Summary,
    whole_micros: Summary,
    client_cpu: Option<f64>,
    #[serde(rename = "verifiedEvents")]
    pub(super) verified: u64,
}

/// Deliveries.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FanOutRow {
    pub(super) subscribers: usize,
    pub(super) rounds: u64,
    /// Over all subscribers and rounds.
    #[serde(rename = "deliveryMicros")]
    pub(super) delivery: Summary,
    /// Of each round, its last subscriber.
    #[serde(rename = "lastMicros")]
    pub(super) last: Summary,
    pub(super) client_cpu: Option<f64>,
    #[serde(rename = "verifiedEvents")]
    pub(super) verified: u64,
}

#[expect(clippy::cast_precision_loss, reason = "rates are shown in a few digits")]
impl PushRow {
    pub(super) fn new(
        load: Load,
        time: Duration,
        tally: &Tally,
        client_cpu: Option<f64>,
        verified: u64,
    ) -> Self {
        let per_second = |count: u64| count as f64 / time.as_secs_f64();
        Self {
            clients: load.clients,
            stores: load.stores,
            batch: load.batch,
            pushes: tally.accepted,
            pushes_per_second: per_second(tally.accepted),
            events_per_second: per_second(tally.accepted * load.batch),
            refused_per_second: per_second(tally.refused),
            failed: tally.failed,
            ack_micros: tally.acks.summary(),
            client_cpu,
            verified,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates are shown in a few digits")]
impl PullRow {
    pub(super) fn new(
        events: u64,
        pulls: &[Duration],
        first_page: &Latencies,
        client_cpu: Option<f64>,
        verified: u64,
    ) -> Self {
        let mut sorted = pulls.to_vec();
        sorted.sort();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        let mut whole = Latencies::new();
        pulls.iter().for_each(|time| whole.record(*time));
        Self {
            events,
            pulls: pulls.len(),
            events_per_second: events as f64 / median.as_secs_f64().max(1e-6),
            first_page_micros: first_page.summary(),
            whole_micros: whole.summary(),
            client_cpu,
            verified,
        }
    }
}

/// A row of a table.
pub(super) trait Row {
    /// The heading of all such rows.
    const HEADING: &'static str;

    fn line(&self, threads: usize) -> String;
}

impl Row for PushRow {
    const HEADING: &'static str = "push      clients  stores  batch    pushes/s    events/s  refused/s  ack p50      p90      p99      max  client cpu";

    fn line(&self, threads: usize) -> String {
        let failed = if self.failed > 0 { format!("  {} failed", self.failed) } else { String::new() };
        format!(
            "          {:>7}  {:>6}  {:>5}  {:>10}  {:>10}  {:>9} {} {}{failed}",
            self.clients,
            self.stores,
            self.batch,
            grouped(self.pushes_per_second),
            grouped(self.events_per_second),
            grouped(self.refused_per_second),
            quantiles(self.ack_micros),
            busy(self.client_cpu, threads),
        )
    }
}

impl Row for PullRow {
    const HEADING: &'static str =
        "pull       events  pulls    events/s  first page p50      p99  whole p50      p99  client cpu";

    fn line(&self, threads: usize) -> String {
        format!(
            "          {:>7}  {:>5}  {:>10}  {:>14} {:>8}  {:>9} {:>8} {}",
            self.events,
            self.pulls,
            grouped(self.events_per_second),
            time(self.first_page_micros.p50),
            time(self.first_page_micros.p99),
            time(self.whole_micros.p50),
            time(self.whole_micros.p99),
            busy(self.client_cpu, threads),
        )
    }
}

impl Row for FanOutRow {
    const HEADING: &'static str =
        "fan-out   subscribers  rounds  each p50      p90      p99      max  last p50      p99  client cpu";

    fn line(&self, threads: usize) -> String {
        format!(
            "          {:>11}  {:>6}  {} {:>9} {:>8} {}",
            self.subscribers,
            self.rounds,
            quantiles(self.delivery),
            time(self.last.p50),
            time(self.last.p99),
            busy(self.client_cpu, threads),
        )
    }
}

fn quantiles(summary: Summary) -> String {
    let Summary { p50, p90, p99, max } = summary;
    format!("{:>8} {:>8} {:>8} {:>8}", time(p50), time(p90), time(p99), time(max))
}

fn busy(cores: Option<f64>, threads: usize) -> String {
    let Some(cores) = cores else { return format!("{:>11}", "-") };
    #[expect(clippy::cast_precision_loss, reason = "a few threads")]
    let is_bound = cores >= BUSY * threads as f64;
    format!("{cores:>11.2}{}", if is_bound { " *" } else { "" })
}

/// A time, in the unit that suits it.
fn time(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let micros = micros as f64;
    match micros {
        _ if micros < 1e3 => format!("{micros:.0}µs"),
        _ if micros < 1e4 => format!("{:.2}ms", micros / 1e3),
        _ if micros < 1e5 => format!("{:.1}ms", micros / 1e3),
        _ if micros < 1e6 => format!("{:.0}ms", micros / 1e3),
        _ => format!("{:.2}s", micros / 1e6),
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        for (number, text) in [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1_234_567.8, "1,234,568")] {
            assert_eq!(grouped(number), text);
        }
        for (micros, text) in
            [(7, "7µs"), (1234, "1.23ms"), (45_600, "45.6ms"), (456_000, "456ms"), (2_500_000, "2.50s")]
        {
            assert_eq!(time(micros), text);
        }
    }

    #[test]
    fn a_busy_load_generator_is_marked() {
        assert!(busy(Some(0.95), 1).ends_with('*'));
        assert!(!busy(Some(0.95), 2).ends_with('*'));
    }

    #[test]
    fn the_median_pull_counts() {
        let pulls = [1000, 10, 20].map(Duration::from_millis);
        let row = PullRow::new(2000, &pulls, &Latencies::new(), None, 2000);
        assert!((row.events_per_second - 100_000.0).abs() < 1.0);
        assert_eq!(row.pulls, 3);
    }
}
