//! What is asked for on the command line, and what follows from it: a list of steps.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use livestore_connect::Roots;
use livestore_wire::SyncPayload;

use super::EVENT_OVERHEAD_BYTES;
use super::push::Load;
use super::report::Report;
use super::target::{Dialect, Target};
use crate::error::CommandError;
use crate::units::{ByteSize, Count};

const PUSH_CLIENTS: [usize; 3] = [1, 8, 64];
const BATCHES: [usize; 3] = [1, 10, 100];
const LOGS: [usize; 2] = [10_000, 100_000];
const SUBSCRIBERS: [usize; 2] = [50, 1000];
/// More connections than this are no sensible load from one machine.
const MAX_CONNECTIONS: usize = 10_000;
const MAX_LOG: usize = 10_000_000;
const MAX_SECONDS: f64 = 3600.0;
const SMALLEST_EVENT: u64 = EVENT_OVERHEAD_BYTES + 1;
const LARGEST_EVENT: u64 = 800_000;

/// Measure a sync server, and check that it keeps what it acknowledges.
///
/// Pushes into new stores of the server, named bench-… and a random part, reads everything back and compares it: every
/// acknowledged event has to be there once, in order, with its contents. If not, the command fails. The stores stay on
/// the server.
///
/// Without a SCENARIO all are measured, which takes about two minutes. The column "client cpu" says how many cores
/// the load generator itself kept busy; with a * the figure is its own bound rather than the server's.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// What to measure.
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// The server: ws://… for the native WebSocket, http://… for native HTTP, livestore+ws://… for LiveStore's protocol.
    #[arg(long, value_name = "URL")]
    url: String,
    /// What to speak, if the URL does not say it.
    #[arg(long, value_enum)]
    dialect: Option<Dialect>,
    /// What to show the server to be let in, for example '{"authToken":"let-me-in"}'.
    #[arg(long, value_name = "JSON", env = "LIVESTORE_PAYLOAD", hide_env_values = true, value_parser = parse_payload)]
    payload: Option<SyncPayload>,
    /// A file of certificates, in PEM, of authorities to trust beside the public ones.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How long each row measures, after a warm-up of a quarter of it.
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_seconds)]
    seconds: f64,
    /// How large an event is, roughly, on its way.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize(240))]
    event_bytes: ByteSize,
    /// The threads of the load generator [default: half of the cores].
    #[arg(long, value_name = "N")]
    threads: Option<Count>,
    /// Print JSON at the end instead of a table.
    #[arg(long)]
    json: bool,
    /// push: how many clients push [default: 1,8,64].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    clients: Vec<Count>,
    /// push: how many stores they push into [default: a store each, then one for all].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    stores: Vec<Count>,
    /// push: how many events a push has [default: 1,10,100].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    batch: Vec<Count>,
    /// pull: how many events the log has [default: 10000,100000].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    events: Vec<Count>,
    /// fan-out: how many subscribers follow the store [default: 50,1000].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    subscribers: Vec<Count>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Pushes and how soon they are acknowledged, by clients with a store each and by clients that share one.
    Push,
    /// Reading a whole log.
    Pull,
    /// From a push until each of many subscribers has it.
    FanOut,
}

/// What to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    /// Names the stores of this run.
    pub(super) run: String,
    pub(super) time: Duration,
    pub(super) text_bytes: usize,
    pub(super) threads: usize,
    pub(super) json: bool,
    pub(super) steps: Vec<Step>,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Push(Load),
    /// Of a log with so many events.
    Pull(u64),
    /// To so many subscribers.
    FanOut(usize),
}

impl BenchArgs {
    pub(super) fn plan(self) -> Result<Plan, CommandError> {
        self.check()?;
        let roots = self.ca.as_deref().map_or_else(|| Ok(Roots::public()), trusted)?;
        let target = Target::new(&self.url, self.dialect, self.payload.clone(), roots)?;
        let scenarios = if self.scenarios.is_empty() {
            let mut all = vec![Scenario::Push, Scenario::Pull, Scenario::FanOut];
            all.retain(|scenario| *scenario != Scenario::FanOut || target.dialect().has_live_pull());
            all
        } else {
            self.scenarios.clone()
        };
        Ok(Plan {
            run: format!("bench-{}", nanoid::nanoid!(8, &nanoid::alphabet::SAFE[2..])),
            time: Duration::from_secs_f64(self.seconds),
            text_bytes: usize::try_from(self.event_bytes.0 - EVENT_OVERHEAD_BYTES).unwrap_or(usize::MAX),
            threads: self.threads.map_or_else(half_the_cores, |threads| threads.0),
            json: self.json,
            steps: scenarios.into_iter().flat_map(|scenario| self.steps(scenario)).collect(),
            target,
        })
    }

    fn steps(&self, scenario: Scenario) -> Vec<Step> {
        match scenario {
            Scenario::Push => self.loads().into_iter().map(Step::Push).collect(),
            Scenario::Pull => {
                chosen(&self.events, &LOGS).into_iter().map(|events| Step::Pull(events as u64)).collect()
            }
            Scenario::FanOut => {
                chosen(&self.subscribers, &SUBSCRIBERS).into_iter().map(Step::FanOut).collect()
            }
        }
    }

    /// First every client on a store of its own, then all on one.
    fn loads(&self) -> Vec<Load> {
        let mut loads: Vec<Load> = Vec::new();
        for stores in chosen(&self.stores, &[MAX_CONNECTIONS, 1]) {
            for clients in chosen(&self.clients, &PUSH_CLIENTS) {
                for batch in chosen(&self.batch, &BATCHES) {
                    let load = Load { clients, stores: stores.min(clients), batch: batch as u64 };
                    // One client alone is alone on one store, too.
                    if !loads.contains(&load) {
                        loads.push(load);
                    }
                }
            }
        }
        loads
    }

    /// Refuses what no machine bears, and what would not be looked at.
    fn check(&self) -> Result<(), CommandError> {
        let bounds = [
            ("--clients", &self.clients, MAX_CONNECTIONS, Scenario::Push),
            ("--stores", &self.stores, MAX_CONNECTIONS, Scenario::Push),
            ("--batch", &self.batch, MAX_CONNECTIONS, Scenario::Push),
            ("--events", &self.events, MAX_LOG, Scenario::Pull),
            ("--subscribers", &self.subscribers, MAX_CONNECTIONS, Scenario::FanOut),
        ];
        for (option, values, most, scenario) in bounds {
            if values.iter().any(|value| value.0 > most) {
                return Err(CommandError::new(format!("{option} is at most {most}")));
            }
            if !values.is_empty() && !self.scenarios.is_empty() && !self.scenarios.contains(&scenario) {
                let name = scenario.to_possible_value().map(|value| value.get_name().to_owned());
                let name = name.unwrap_or_default();
                return Err(CommandError::new(format!(
                    "{option} is for the scenario {name}, which is not asked for"
                )));
            }
        }
        if !(SMALLEST_EVENT..=LARGEST_EVENT).contains(&self.event_bytes.0) {
            return Err(CommandError::new(format!(
                "--event-bytes is from {SMALLEST_EVENT} to {LARGEST_EVENT}"
            )));
        }
        Ok(())
    }
}

impl Plan {
    /// The report, with nothing measured yet.
    pub(super) fn report(&self) -> Report {
        Report {
            url: self.target.url().to_owned(),
            dialect: self.target.dialect().name(),
            seconds: self.time.as_secs_f64(),
            event_bytes: self.text_bytes as u64 + EVENT_OVERHEAD_BYTES,
            threads: self.threads,
            push: Vec::new(),
            pull: Vec::new(),
            fan_out: Vec::new(),
            verified_events: 0,
            complete: false,
        }
    }
}

fn chosen(values: &[Count], default: &[usize]) -> Vec<usize> {
    if values.is_empty() { default.to_vec() } else { values.iter().map(|value| value.0).collect() }
}

/// The other half is the server's, if it is on this machine.
fn half_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=MAX_SECONDS).contains(&seconds) => Ok(seconds),
        _ => Err(format!("expected a number of seconds from 0.1 to {MAX_SECONDS}")),
    }
}

/// The public authorities and those of a file.
fn trusted(ca: &Path) -> Result<Roots, CommandError> {
    let unusable = || CommandError::new(format!("the --ca {} cannot be used", ca.display()));
    let pem = fs::read(ca).map_err(|error| unusable().caused_by(error))?;
    Roots::public().and_pem(&pem).map_err(|error| unusable().caused_by(error))
}

fn parse_payload(text: &str) -> Result<SyncPayload, String> {
    SyncPayload::from_json(text).map_err(|error| crate::error::chain(&error))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn plan(line: &str) -> Plan {
        let words = ["bench"].into_iter().chain(line.split(' '));
        Line::try_parse_from(words).unwrap().args.plan().unwrap()
    }

    #[test]
    fn the_standard_set_is_everything_that_the_dialect_has() {
        let count = |line: &str| {
            let steps = plan(line).steps;
            let pushes = steps.iter().filter(|step| matches!(step, Step::Push(_))).count();
            let pulls = steps.iter().filter(|step| matches!(step, Step::Pull(_))).count();
            (pushes, pulls, steps.len() - pushes - pulls)
        };
        assert_eq!(count("--url ws://a"), (15, 2, 2));
        assert_eq!(count("--url livestore+http://a"), (15, 2, 0));
        assert_eq!(count("--url ws://a fan-out pull --events 5"), (0, 1, 2));
    }

    #[test]
    fn clients_are_spread_over_stores() {
        let steps = plan("--url ws://a push --clients 1,8 --stores 1,2 --batch 5").steps;
        let loads: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Push(load) => Some((load.clients, load.stores, load.batch)),
                Step::Pull(_) | Step::FanOut(_) => None,
            })
            .collect();
        assert_eq!(loads, [(1, 1, 5), (8, 1, 5), (8, 2, 5)]);
    }
}
