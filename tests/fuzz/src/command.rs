//! The commands.

use std::fs;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use fastrand::Rng;
use livestore_fuzz::{Corpus, TARGETS, Target, mutate, seeds};

/// Fuzz targets for everything that reads bytes from the network.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Mutates the inputs of the corpus until the time is over or something fails.
    Search {
        /// How long, over all targets.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// What the random choices begin with; another number each time if it is not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Which targets; all of them if none is named.
        targets: Vec<String>,
    },
    /// Runs single inputs, such as a finding.
    Run {
        /// Which target.
        target: String,
        /// The inputs.
        files: Vec<PathBuf>,
    },
    /// Writes what the corpus began with: messages of every kind, and LiveStore's recordings.
    Seeds,
}

pub(crate) fn run() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Search { seconds, seed, targets } => search(seconds, seed, &targets),
        Command::Run { target, files } => run_files(&target, &files),
        Command::Seeds => write_seeds(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("livestore-fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn named(name: &str) -> io::Result<&'static Target> {
    let found = TARGETS.iter().find(|target| target.name == name);
    found.ok_or_else(|| io::Error::other(format!("there is no target {name}")))
}

/// Whether nothing failed.
fn search(seconds: u64, seed: Option<u64>, names: &[String]) -> io::Result<bool> {
    let targets = if names.is_empty() {
        TARGETS.iter().collect()
    } else {
        names.iter().map(|name| named(name)).collect::<io::Result<Vec<_>>>()?
    };
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{seconds} s over {} targets, seed {seed}", targets.len());
    let share = Duration::from_secs(seconds) / u32::try_from(targets.len()).unwrap_or(u32::MAX);
    let mut is_good = true;
    for target in targets {
        is_good &= search_one(target, share, &mut Rng::with_seed(seed))?;
    }
    Ok(is_good)
}

fn search_one(target: &Target, time: Duration, rng: &mut Rng) -> io::Result<bool> {
    let inputs = Corpus::of(target).inputs()?;
    let any =
        |rng: &mut Rng| inputs.get(rng.usize(..inputs.len().max(1))).map_or(&b""[..], |(_, input)| input);
    let end = Instant::now() + time;
    let mut count = 0_u64;
    while Instant::now() < end {
        let input = mutate(any(rng), any(rng), rng);
        count += 1;
        if !holds(target, &input) {
            let file = keep(target, &input)?;
            println!("{} fails after {count} inputs. To see it again:", target.name);
            println!("    cargo run -p livestore-fuzz -- run {} {}", target.name, file.display());
            return Ok(false);
        }
    }
    println!("{:24} {count:9} inputs", target.name);
    Ok(true)
}

fn holds(target: &Target, input: &[u8]) -> bool {
    panic::catch_unwind(|| target.run(input)).is_ok()
}

/// Beside the corpus, which is for what was mended.
fn keep(target: &Target, input: &[u8]) -> io::Result<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
    fs::create_dir_all(&dir)?;
    let file = dir.join(format!("{}-{:08x}", target.name, fastrand::u32(..)));
    fs::write(&file, input)?;
    Ok(file)
}

fn run_files(target: &str, files: &[PathBuf]) -> io::Result<bool> {
    let target = named(target)?;
    let mut is_good = true;
    for file in files {
        let outcome = holds(target, &fs::read(file)?);
        println!("{} {}", if outcome { "holds" } else { "FAILS" }, file.display());
        is_good &= outcome;
    }
    Ok(is_good)
}

fn write_seeds() -> io::Result<bool> {
    for (target, inputs) in seeds()? {
        let corpus = Corpus::of(named(target)?);
        for (index, input) in inputs.iter().enumerate() {
            corpus.add(&format!("seed-{index:02}"), input)?;
        }
        println!("{target:24} {:4} seeds", inputs.len());
    }
    Ok(true)
}
