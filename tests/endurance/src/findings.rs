//! What a hunt found: figures, and violations.

use std::fmt::{self, Display};
use std::time::Duration;

use hdrhistogram::Histogram;

/// More of them say nothing new.
const SHOWN_VIOLATIONS: usize = 20;

/// The outcome of a hunt.
#[derive(Debug, Default)]
pub struct Findings {
    figures: Vec<(String, String)>,
    violations: Vec<String>,
}

impl Findings {
    /// Something that was measured or counted.
    pub fn figure(&mut self, name: impl Into<String>, value: impl Display) {
        self.figures.push((name.into(), value.to_string()));
    }

    /// The programs broke a promise.
    pub fn violation(&mut self, sentence: impl Into<String>) {
        self.violations.push(sentence.into());
    }

    /// A violation unless it holds.
    pub fn expect(&mut self, holds: bool, sentence: impl FnOnce() -> String) {
        if !holds {
            self.violation(sentence());
        }
    }

    /// Takes in several violations.
    pub fn violations(&mut self, sentences: impl IntoIterator<Item = String>) {
        self.violations.extend(sentences);
    }

    /// What was violated, a sentence each.
    #[must_use]
    pub fn violated(&self) -> &[String] {
        &self.violations
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.figures.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in &self.figures {
            writeln!(f, "  {name:width$}  {value}")?;
        }
        for sentence in self.violations.iter().take(SHOWN_VIOLATIONS) {
            writeln!(f, "  VIOLATED: {sentence}")?;
        }
        match self.violations.len() {
            0 => write!(f, "  nothing was violated"),
            count => write!(f, "  {count} violations"),
        }
    }
}

/// Says how far a hunt is.
pub fn progress(text: impl Display) {
    println!("  .. {text}");
}

/// How long things took.
#[derive(Clone, Debug)]
pub struct Waits(Histogram<u64>);

impl Default for Waits {
    fn default() -> Self {
        // Microseconds up to an hour, to three digits.
        Self(Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("good bounds"))
    }
}

impl Waits {
    /// Takes one in.
    pub fn record(&mut self, wait: Duration) {
        self.0.saturating_record(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
    }

    /// Takes in all of another.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same digits");
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

impl Extend<Duration> for Waits {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, waits: I) {
        waits.into_iter().for_each(|wait| self.record(wait));
    }
}

impl Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "none");
        }
        let at = |quantile| millis(Duration::from_micros(self.0.value_at_quantile(quantile)));
        write!(f, "p50 {}  p99 {}  max {}  ({})", at(0.5), at(0.99), millis(self.max()), self.0.len())
    }
}

/// A duration in milliseconds, as people read it.
#[must_use]
pub fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// Bytes in MiB, as people read them.
#[must_use]
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}
