//! Hunts for seeds that fail.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use livestore_sim::broken::Broken;
use livestore_sim::shrink::shrink;
use livestore_sim::{FaultCounts, Layer, Outcome, Plan, run};

/// Simulates clients, networks and crashes from seeds, and stops at the first one that breaks a rule.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds to run, in each layer.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// A layer, or all.
    #[arg(long, default_value = "all")]
    layer: String,
    /// Replays the first seed and prints its trace.
    #[arg(long)]
    trace: bool,
    /// Runs each seed twice, and fails if the traces differ.
    #[arg(long)]
    twice: bool,
    /// Breaks a part on purpose, to see that it is noticed: ack-before-sync, head-before-events, skipped-fencing,
    /// repeated-page, lost-wake-up or positional-confirm.
    #[arg(long)]
    broken: Option<Broken>,
    /// Prints the first failure as it is, without looking for a smaller one.
    #[arg(long)]
    no_shrink: bool,
}

impl Args {
    fn plan(&self, layer: Layer, seed: u64) -> Plan {
        let plan = Plan::new(layer, seed);
        match self.broken {
            // With every fault: what is broken shows under one of them.
            broken @ Some(_) => Plan { faults: layer.faults(), broken, ..plan },
            None => plan,
        }
    }
}

/// What a layer's runs came to.
#[derive(Debug, Default)]
struct Summary {
    runs: u64,
    events: usize,
    simulated: Duration,
    faults: FaultCounts,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let layers: Vec<Layer> = if args.layer == "all" {
        Layer::ALL.to_vec()
    } else {
        match args.layer.parse() {
            Ok(layer) => vec![layer],
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    };
    for layer in layers {
        if args.trace {
            return replay(layer, &args);
        }
        if let Some((plan, outcome)) = hunt(layer, &args) {
            return report(plan, outcome, args.no_shrink || args.twice);
        }
    }
    ExitCode::SUCCESS
}

fn replay(layer: Layer, args: &Args) -> ExitCode {
    let outcome = run(&args.plan(layer, args.first_seed));
    print!("{}", outcome.trace);
    if outcome.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the seeds on all cores; returns the first failure.
fn hunt(layer: Layer, args: &Args) -> Option<(Plan, Outcome)> {
    let (next, end) = (AtomicU64::new(args.first_seed), args.first_seed.saturating_add(args.seeds));
    let (summary, failed) = (Mutex::new(Summary::default()), Mutex::new(None));
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || failed.lock().is_ok_and(|failed| failed.is_some()) {
                        return;
                    }
                    let plan = args.plan(layer, seed);
                    let mut outcome = run(&plan);
                    if args.twice
                        && let Some(difference) = first_difference(&outcome.trace, &run(&plan).trace)
                    {
                        outcome.violation.get_or_insert(difference);
                    }
                    if outcome.violation.is_some() {
                        failed.lock().expect("nobody panics").get_or_insert((plan, outcome));
                        return;
                    }
                    let mut summary = summary.lock().expect("nobody panics");
                    summary.add(&outcome);
                    if summary.runs.is_multiple_of(1000) {
                        println!("layer {layer}: {} seeds, {:.1?}", summary.runs, began.elapsed());
                    }
                }
            });
        }
    });
    summary.into_inner().expect("nobody panics").print(layer, began.elapsed());
    failed.into_inner().expect("nobody panics")
}

/// What a second run did otherwise, if anything.
fn first_difference(one: &str, other: &str) -> Option<String> {
    if one == other {
        return None;
    }
    let (one, other) = one.lines().zip(other.lines()).find(|(one, other)| one != other).unwrap_or_default();
    Some(format!("a second run had another trace:\n    {one}\n    {other}"))
}

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.events += outcome.events;
        self.simulated += outcome.simulated;
        self.faults.add(&outcome.faults);
    }

    fn print(&self, layer: Layer, took: Duration) {
        let Self { runs, events, simulated, faults } = self;
        let minutes = simulated.as_secs_f64() / 60.0;
        let rate = minutes / took.as_secs_f64();
        println!("layer {layer}: {runs} seeds in {took:.1?}, {events} events");
        println!("  {minutes:.0} simulated minutes, {rate:.0} per second");
        println!("  {} faults: {faults}", faults.total());
    }
}

fn report(plan: Plan, outcome: Outcome, as_it_is: bool) -> ExitCode {
    println!("\nfailed: {plan}\n  {}", outcome.violation.as_deref().unwrap_or_default());
    let profile = if cfg!(debug_assertions) { "--profile hunt" } else { "--release" };
    let broken = plan.broken.map(|broken| format!(" --broken {broken}")).unwrap_or_default();
    let (layer, seed) = (plan.layer, plan.seed);
    println!(
        "replay: cargo run {profile} -p livestore-sim -- --layer {layer} --first-seed {seed} --trace{broken}"
    );
    let (plan, outcome) = if as_it_is { (plan, outcome) } else { shrink(&plan, outcome) };
    println!("\nthe smallest found: {plan}\n{}", outcome.trace);
    ExitCode::FAILURE
}
