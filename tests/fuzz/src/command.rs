//! The commands.

use std::fs;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

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
    /// Mutates the inputs of the corpus, until enough were tried or one fails.
    Search {
        /// How many to try for each target.
        #[arg(long, default_value_t = 5000)]
        inputs: u64,
        /// What the random choices begin with, so that the same inputs are tried; another number each time if it is not
        /// given.
        #[arg(long)]
        seed: Option<u64>,
        /// Which targets; all of them if none is named.
        targets: Vec<String>,
    },
    /// Runs single inputs, such as a finding.
    Run {
        /// Which target.
        target: String,
        /// Inputs of its corpus, by their lines.
        #[arg(long)]
        line: Vec<usize>,
        /// Other inputs.
        files: Vec<PathBuf>,
    },
    /// Adds what the corpus began with: messages of every kind, and LiveStore's recordings.
    Seeds,
    /// Writes every input of a corpus to a file of its own.
    Unpack {
        /// Which target.
        target: String,
        /// Where to.
        dir: PathBuf,
    },
    /// Adds inputs to a corpus, those that it does not have.
    Add {
        /// Which target.
        target: String,
        /// The inputs.
        files: Vec<PathBuf>,
    },
}

pub(crate) fn run() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Search { inputs, seed, targets } => search(inputs, seed, &targets),
        Command::Run { target, line, files } => run_single(&target, &line, &files),
        Command::Seeds => add_seeds(),
        Command::Unpack { target, dir } => {
            named(&target).and_then(|target| Corpus::of(target).unpack(&dir)).map(|()| true)
        }
        Command::Add { target, files } => add(&target, &files),
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
fn search(inputs: u64, seed: Option<u64>, names: &[String]) -> io::Result<bool> {
    let targets = if names.is_empty() {
        TARGETS.iter().collect()
    } else {
        names.iter().map(|name| named(name)).collect::<io::Result<Vec<_>>>()?
    };
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{inputs} inputs for each of {} targets, seed {seed}", targets.len());
    let mut is_good = true;
    for target in targets {
        is_good &= search_one(target, inputs, &mut Rng::with_seed(seed))?;
    }
    Ok(is_good)
}

fn search_one(target: &Target, inputs: u64, rng: &mut Rng) -> io::Result<bool> {
    let known = Corpus::of(target).inputs()?;
    let any = |rng: &mut Rng| known.get(rng.usize(..known.len().max(1))).map_or(&b""[..], |(_, input)| input);
    let start = Instant::now();
    for count in 1..=inputs {
        let input = mutate(any(rng), any(rng), rng);
        if !holds(target, &input) {
            let file = keep(target, &input)?;
            println!("{} fails after {count} inputs. To see it again:", target.name);
            println!("    cargo run -p livestore-fuzz -- run {} {}", target.name, file.display());
            return Ok(false);
        }
    }
    println!("{:24} {:6.1} s", target.name, start.elapsed().as_secs_f64());
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

fn run_single(target: &str, lines: &[usize], files: &[PathBuf]) -> io::Result<bool> {
    let target = named(target)?;
    let of_corpus = Corpus::of(target).inputs()?.into_iter();
    let asked = of_corpus.filter(|(line, _)| lines.contains(line));
    let mut inputs: Vec<_> = asked.map(|(line, input)| (format!("line {line}"), input)).collect();
    for file in files {
        inputs.push((file.display().to_string(), fs::read(file)?));
    }
    let mut is_good = true;
    for (name, input) in inputs {
        let outcome = holds(target, &input);
        println!("{} {name}", if outcome { "holds" } else { "FAILS" });
        is_good &= outcome;
    }
    Ok(is_good)
}

fn add_seeds() -> io::Result<bool> {
    for (target, inputs) in seeds()? {
        let (count, new) = (inputs.len(), Corpus::of(named(target)?).add(inputs)?);
        println!("{target:24} {count:4} seeds, {new} of them new");
    }
    Ok(true)
}

fn add(target: &str, files: &[PathBuf]) -> io::Result<bool> {
    let inputs: io::Result<Vec<_>> = files.iter().map(fs::read).collect();
    let new = Corpus::of(named(target)?).add(inputs?)?;
    println!("{target:24} {new:4} new inputs");
    Ok(true)
}
