//! What is going on, on a terminal; nothing where stderr is none.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::report::grouped;
use crate::terminal::say;

const REDRAW: Duration = Duration::from_millis(200);

/// One line that changes.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid"));
        bar.enable_steady_tick(REDRAW);
        Self { bar }
    }

    pub(super) fn step(&self, what: impl Display) {
        self.bar.set_message(what.to_string());
    }

    /// Prints a line above.
    pub(super) fn say(&self, line: impl Display) {
        self.bar.suspend(|| say(line));
    }

    /// Counts something while `work` is done, and shows how fast it goes.
    pub(super) async fn count<T>(
        &self,
        what: &str,
        unit: &str,
        counter: &Arc<AtomicU64>,
        work: impl Future<Output = T>,
    ) -> T {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(REDRAW);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => {
                    let seconds = begun.elapsed().as_secs_f64().max(0.001);
                    #[expect(clippy::cast_precision_loss, reason = "it is shown in a few digits")]
                    let rate = counter.load(Ordering::Relaxed) as f64 / seconds;
                    self.step(format_args!("{what}: {} {unit}/s", grouped(rate)));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
