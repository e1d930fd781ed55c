//! Hunts for histories that are not linearizable.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use livestore_linearizability::checker::{self, Verdict};
use livestore_linearizability::clients::{self, Mix};
use livestore_linearizability::log::{Explained, Log, Tally};
use livestore_linearizability::target::{Kind, Target};
use livestore_traits::BoxError;

/// Lets clients race on a backend and checks that what they saw could have happened one after the other.
#[derive(Parser)]
struct Options {
    /// Histories of each backend.
    #[arg(long, default_value_t = 1_000)]
    histories: u64,
    /// Clients of each history.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Pushes and pulls of each client.
    #[arg(long, default_value_t = 25)]
    operations: usize,
    /// Which backend or wire, or `all`.
    #[arg(long, default_value = "all", value_parser = kinds)]
    backend: Kinds,
    /// The seed of the first history; the others follow.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
}

/// What `--backend` names.
#[derive(Clone)]
struct Kinds(Vec<Kind>);

fn kinds(text: &str) -> Result<Kinds, String> {
    if text == "all" { Ok(Kinds(Kind::ALL.to_vec())) } else { Ok(Kinds(vec![Kind::from_str(text, false)?])) }
}

/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut is_good = true;
    for &kind in &options.backend.0 {
        match hunt(kind, &options).await {
            Ok(found_none) => is_good &= found_none,
            Err(error) => {
                eprintln!("{kind}: {error}");
                is_good = false;
            }
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether every history was linearizable.
async fn hunt(kind: Kind, options: &Options) -> Result<bool, BoxError> {
    let target = Target::start(kind).await?;
    let mix = Mix { clients: options.clients, operations: options.operations, ..Mix::default() };
    let (started, mut told) = (Instant::now(), Instant::now());
    let mut tally = Tally::default();
    for count in 0..options.histories {
        let seed = options.first_seed + count;
        let history =
            clients::history(&target, seed, &mix).await.map_err(|error| format!("seed {seed}: {error}"))?;
        tally.count(&history);
        let verdict = checker::check::<Log>(&history, checker::DEFAULT_LIMIT);
        if verdict != Verdict::Linearizable {
            println!("{kind}, seed {seed}: {}", Explained { history: &history, verdict: &verdict });
            return Ok(false);
        }
        if told.elapsed() > PROGRESS {
            told = Instant::now();
            println!("{kind}: {} histories; {tally}", count + 1);
        }
    }
    let seconds = started.elapsed().as_secs();
    println!("{kind}: {} histories, all linearizable; {tally}; {seconds} s", options.histories);
    Ok(true)
}
