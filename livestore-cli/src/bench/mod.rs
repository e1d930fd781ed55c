//! `livestore bench`: drives a sync server and says how fast it is, and whether it keeps what it acknowledges.
//!
//! ```text
//! for each row:  new stores ─► connect ─► warm up ─► measure ─► read back, compare ─► print the row
//! ```
//!
//! Everything runs on few threads, one by default on two cores: server and load generator usually share a machine.

mod client;
mod cpu;
mod events;
mod fan_out;
mod latency;
mod ledger;
mod options;
mod progress;
mod pull;
mod push;
mod report;
mod target;
mod verify;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::error::CommandError;
use events::Author;
pub(crate) use options::BenchArgs;
use options::{Plan, Step};
use progress::Progress;
use report::{FanOutRow, PullRow, PushRow, Report, Row};
use target::Target;

/// What an event has beside its text, roughly.
const EVENT_OVERHEAD_BYTES: u64 = 120;
/// The warm-up is a quarter of the measured time, and no longer than this.
const LONGEST_WARM_UP: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) fn run(args: BenchArgs) -> Result<(), CommandError> {
    let plan = args.plan()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(plan.threads)
        .enable_all()
        .build()
        .map_err(|error| CommandError::new("the runtime cannot be started").caused_by(error))?;
    let outcome = runtime.block_on(supervise(plan));
    // Connections need no farewell.
    runtime.shutdown_background();
    outcome
}

/// Prints what is measured as it comes, until all is measured, something fails, or Ctrl-C.
async fn supervise(plan: Plan) -> Result<(), CommandError> {
    let progress = Progress::new();
    let mut printer = Printer { progress: progress.clone(), plan: plan.clone(), heading: "" };
    let mut report = plan.report();
    let (rows, mut measured) = mpsc::channel(1);
    // On a thread of the runtime: what waits on this one would be woken from another for every answer.
    let work = tokio::spawn(measure(plan, progress, rows));
    let outcome = loop {
        tokio::select! {
            row = measured.recv() => match row {
                Some(row) => printer.take(row, &mut report),
                None => break work.await.unwrap_or_else(|error| {
                    Err(CommandError::new("the bench failed").caused_by(error))
                }),
            },
            stop = tokio::signal::ctrl_c() => {
                work.abort();
                break match stop {
                    Ok(()) => Err(CommandError::new("interrupted")),
                    Err(error) => Err(CommandError::new("signals cannot be listened to").caused_by(error)),
                };
            }
        }
    };
    report.complete = outcome.is_ok();
    printer.finish(&report)?;
    outcome
}

/// What one bench knows everywhere.
#[derive(Debug)]
struct Bench {
    target: Target,
    /// Names this run's stores.
    run: String,
    last_store: AtomicUsize,
    /// How long each row measures.
    time: Duration,
    text_bytes: usize,
    progress: Progress,
}

impl Bench {
    /// A name that no store has yet.
    fn new_store(&self) -> String {
        format!("{}-{}", self.run, self.last_store.fetch_add(1, Ordering::Relaxed))
    }

    fn author(&self, client: usize) -> Author {
        Author::new(client, self.text_bytes)
    }

    fn warm_up(&self) -> Duration {
        (self.time / 4).min(LONGEST_WARM_UP)
    }

    /// About how many bytes an event has on its way.
    fn event_bytes(&self) -> u64 {
        self.text_bytes as u64 + EVENT_OVERHEAD_BYTES
    }
}

/// Something that was measured.
#[derive(Debug)]
enum Measured {
    Push(PushRow),
    Pull(PullRow),
    FanOut(FanOutRow),
}

async fn measure(plan: Plan, progress: Progress, rows: mpsc::Sender<Measured>) -> Result<(), CommandError> {
    let bench = Bench {
        target: plan.target,
        run: plan.run,
        last_store: AtomicUsize::new(1),
        time: plan.time,
        text_bytes: plan.text_bytes,
        progress,
    };
    for step in plan.steps {
        let row = match step {
            Step::Push(load) => Measured::Push(push::measure(&bench, load).await?),
            Step::Pull(events) => Measured::Pull(pull::measure(&bench, events).await?),
            Step::FanOut(subscribers) => Measured::FanOut(fan_out::measure(&bench, subscribers).await?),
        };
        if rows.send(row).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Prints the rows, or keeps them for the end.
struct Printer {
    progress: Progress,
    plan: Plan,
    /// The last one that was printed.
    heading: &'static str,
}

impl Printer {
    fn take(&mut self, row: Measured, report: &mut Report) {
        match row {
            Measured::Push(row) => {
                self.print(&row);
                report.verified_events += row.verified;
                report.push.push(row);
            }
            Measured::Pull(row) => {
                self.print(&row);
                report.verified_events += row.verified;
                report.pull.push(row);
            }
            Measured::FanOut(row) => {
                self.print(&row);
                report.verified_events += row.verified;
                report.fan_out.push(row);
            }
        }
    }

    fn print<R: Row>(&mut self, row: &R) {
        if self.plan.json {
            return;
        }
        if self.heading.is_empty() {
            let Plan { target, time, .. } = &self.plan;
            let (dialect, url) = (target.dialect().name(), target.url());
            self.progress.say(format_args!("{url}, dialect {dialect}, {:?} for each row", time));
        }
        if self.heading != R::HEADING {
            self.heading = R::HEADING;
            self.progress.say(format_args!("\n{}", R::HEADING));
        }
        self.progress.say(row.line(self.plan.threads));
    }

    fn finish(&self, report: &Report) -> Result<(), CommandError> {
        if self.plan.json {
            let text = serde_json::to_string_pretty(report)
                .map_err(|error| CommandError::new("the report cannot be written").caused_by(error))?;
            self.progress.say(text);
        } else if report.verified_events > 0 {
            self.progress.say(format_args!(
                "\nverified: {} events were read back; every acknowledged one is there once, in order, with its contents",
                report.verified_events
            ));
        }
        Ok(())
    }
}
