//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use livestore_endurance::binaries::Binaries;
use livestore_endurance::cable::Speed;
use livestore_endurance::findings::Findings;
use livestore_endurance::hunts::disk_full::{self, DiskFull, Full};
use livestore_endurance::hunts::flood::{self, Flood};
use livestore_endurance::hunts::idle::{self, Idle};
use livestore_endurance::hunts::kills::{self, Kills, Until};
use livestore_endurance::hunts::never_reads::{self, NeverReads};
use livestore_endurance::hunts::restarts;
use livestore_endurance::hunts::slow_link::{self, SlowLink};
use livestore_endurance::hunts::soak::{self, Soak};
use livestore_endurance::{HarnessResult, usage};

/// Tries to break `livestore serve` and `todo` as real processes, over the loopback, for a bounded time. Ends with 1 if a
/// promise was broken, with 2 if there is no verdict.
#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    hunt: Hunt,
}

#[derive(Debug, Args)]
struct Common {
    /// Chooses what is random.
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// Where `livestore` and `todo` are, instead of building them beside this program.
    #[arg(long, global = true, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// What the server keeps its data in.
    #[arg(long, global = true, default_value = "redb")]
    store: StoreKind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StoreKind {
    Redb,
    Sqlite,
}

#[derive(Debug, Subcommand)]
enum Hunt {
    /// Server and clients are killed with SIGKILL at random.
    Kills {
        /// Faults stop after so many seconds …
        #[arg(long, default_value = "60", conflicts_with = "kills")]
        seconds: u64,
        /// … or after so many kills.
        #[arg(long)]
        kills: Option<u64>,
        /// Data dirs of `todo`.
        #[arg(long, default_value = "3")]
        dirs: usize,
        /// The longest time between two kills.
        #[arg(long, default_value = "1000")]
        pause_ms: u64,
    },
    /// The disk becomes full under a server and under `todo`.
    DiskFull {
        /// A small file system in memory, which root can mount on Linux, instead of a limit on the size of files.
        #[arg(long)]
        mount: bool,
    },
    /// The server is stopped and started again under load.
    Restarts {
        /// How often.
        #[arg(long, default_value = "20")]
        times: u64,
    },
    /// One client has a slow link, while others write without end.
    SlowLink {
        /// How long each rate of foreign events lasts.
        #[arg(long, default_value = "20")]
        seconds: u64,
        /// How fast the link is, in each direction.
        #[arg(long, default_value = "64000")]
        bytes_per_second: u32,
        /// How long a round trip over the link takes.
        #[arg(long, default_value = "200")]
        round_trip_ms: u64,
        /// How long each of the four other clients pauses at most between two pushes.
        #[arg(long, value_delimiter = ',', default_value = "0,20,100,500,2000")]
        pauses_ms: Vec<u64>,
    },
    /// Clients come, pull, push, and vanish.
    Soak {
        /// For how long.
        #[arg(long, default_value = "60")]
        seconds: u64,
        /// How many are there at once.
        #[arg(long, default_value = "12")]
        visitors: usize,
    },
    /// Thousands of live subscribers with nothing to do.
    Idle {
        /// How many.
        #[arg(long, default_value = "10000")]
        connections: usize,
        /// For how long.
        #[arg(long, default_value = "30")]
        seconds: u64,
    },
    /// Subscribers that never read, while others push a lot.
    NeverReads {
        /// How many over each wire.
        #[arg(long, default_value = "10")]
        subscribers: usize,
        /// How much is pushed past them.
        #[arg(long, default_value = "100")]
        megabytes: usize,
    },
    /// Pushes come faster than the disk takes them.
    Flood {
        /// How long, for each size of events.
        #[arg(long, default_value = "15")]
        seconds: u64,
        /// How many clients push, each to a store of its own.
        #[arg(long, default_value = "64")]
        clients: usize,
        /// The sizes of the texts of events.
        #[arg(long, value_delimiter = ',', default_value = "100,50000")]
        sizes: Vec<usize>,
    },
}

pub(crate) fn main() -> ExitCode {
    let Command { common, hunt } = Command::parse();
    let seed = common.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    fastrand::seed(seed);
    println!("seed {seed}, {} files may be open", usage::raise_file_limit());
    let begun = Instant::now();
    // One thread, so that the choices of all tasks come from the one seed; the load is in other processes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&common, hunt)));
    match outcome {
        Ok(findings) => {
            println!("{findings}\nafter {:.1} s, seed {seed}", begun.elapsed().as_secs_f64());
            if findings.violated().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("no verdict, seed {seed}: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(common: &Common, hunt: Hunt) -> HarnessResult<Findings> {
    let binaries = match &common.bin_dir {
        Some(dir) => Binaries::in_dir(dir)?,
        None => Binaries::built()?,
    };
    let store = match common.store {
        StoreKind::Redb => "redb",
        StoreKind::Sqlite => "sqlite",
    };
    let store = store.to_owned();
    let seconds = Duration::from_secs;
    match hunt {
        Hunt::Kills { seconds: time, kills, dirs, pause_ms } => {
            let until = kills.map_or(Until::Time(seconds(time)), Until::Kills);
            let pause = Duration::from_millis(pause_ms);
            kills::run(&Kills { binaries, until, store, dirs, pause }).await
        }
        Hunt::DiskFull { mount } => {
            let full = if mount { Full::FileSystem } else { Full::FileSize };
            disk_full::run(&DiskFull { binaries, store, full, time: seconds(3) }).await
        }
        Hunt::Restarts { times } => restarts::run(&binaries, &store, times).await,
        Hunt::SlowLink { seconds: time, bytes_per_second, round_trip_ms, pauses_ms } => {
            let latency = Duration::from_millis(round_trip_ms) / 2;
            let speed = Speed { latency, bytes_per_second: Some(bytes_per_second) };
            let pauses = pauses_ms.into_iter().map(Duration::from_millis).collect();
            slow_link::run(&SlowLink { binaries, store, speed, time: seconds(time), pauses }).await
        }
        Hunt::Soak { seconds: time, visitors } => {
            soak::run(&Soak { binaries, store, time: seconds(time), visitors }).await
        }
        Hunt::Idle { connections, seconds: time } => {
            idle::run(&Idle { binaries, store, connections, time: seconds(time) }).await
        }
        Hunt::NeverReads { subscribers, megabytes } => {
            never_reads::run(&NeverReads { binaries, store, subscribers, megabytes }).await
        }
        Hunt::Flood { seconds: time, clients, sizes } => {
            flood::run(&Flood { binaries, store, time: seconds(time), clients, sizes }).await
        }
    }
}
