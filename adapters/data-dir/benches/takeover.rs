//! How long a process that follows takes to lead when the one that led is killed, or ends.
//!
//! Measured from the kill, or from telling the leader to end, until a commit of the follower is durable in the log that
//! it has opened meanwhile. Two processes, the second of which is this program once more; the log is in the page cache,
//! where the death of a process leaves it.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _, stdin};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use livestore_backend_memory::MemoryBackend;
use livestore_data_dir::DataDir;
use livestore_engine::{Store, StoreBuilder};
use livestore_materializer_sqlite::SqliteSchema;
use livestore_traits::{EventSet, NewEvent, TypedEvent};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

type Outcome<T> = Result<T, Box<dyn Error>>;

const LEADER: &str = "LIVESTORE_BENCH_LEADER";
const LIMIT: Duration = Duration::from_secs(60);
const ROUNDS: usize = 7;
const TEXT_BYTES: usize = 1_000;
const UNIT: usize = 100;

#[derive(Serialize, Deserialize)]
struct Noted {
    text: String,
}

impl TypedEvent for Noted {
    const NAME: &'static str = "v1.Noted";
}

fn data(dir: &Path) -> Outcome<DataDir> {
    Ok(DataDir::new(dir, "bench".parse()?))
}

async fn open(dir: &Path) -> Outcome<Store> {
    Ok(builder(dir)?.start().await?)
}

fn builder(dir: &Path) -> Outcome<StoreBuilder> {
    // The state stays small, so that it is the log that is measured.
    let schema = SqliteSchema::builder(EventSet::builder().event::<Noted>().build()?)
        .table("CREATE TABLE notes (bytes INTEGER NOT NULL)")
        .on::<Noted>(|state, note, _| {
            state.execute("INSERT INTO notes VALUES (?1)", [i64::try_from(note.text.len())?])?;
            Ok(())
        })
        .build()?;
    Ok(data(dir)?.store(schema))
}

fn main() -> Outcome<()> {
    let runtime = Runtime::new()?;
    if let Ok(dir) = env::var(LEADER) {
        return runtime.block_on(lead(Path::new(&dir)));
    }
    for megabytes in [3, 300] {
        let dir = tempfile::tempdir()?;
        runtime.block_on(fill(dir.path(), megabytes * 1_000_000))?;
        let len = fs::metadata(data(dir.path())?.eventlog())?.len();
        println!("a log of {} MB", len / 1_000_000);
        for (name, is_killed) in [("kill -9", true), ("ended in order", false)] {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                times.push(runtime.block_on(take_over(dir.path(), is_killed))?);
            }
            times.sort();
            println!(
                "  {name}: {:.1?} (from {:.1?} to {:.1?})",
                times[ROUNDS / 2],
                times[0],
                times[ROUNDS - 1]
            );
        }
    }
    Ok(())
}

/// Fills the log until its file has this size. All is confirmed, as in most clients: what is not is read whenever a leader begins.
async fn fill(dir: &Path, bytes: u64) -> Outcome<()> {
    let store = builder(dir)?.upstream(MemoryBackend::new()).start().await?;
    let text = "x".repeat(TEXT_BYTES);
    while fs::metadata(data(dir)?.eventlog())?.len() < bytes {
        let note = NewEvent::from(&Noted { text: text.clone() })?;
        store.commit(std::iter::repeat_n(note, UNIT))?.confirmed().await?;
    }
    Ok(store.shutdown(LIMIT).await?)
}

/// The process that leads first.
async fn lead(dir: &Path) -> Outcome<()> {
    let store = open(dir).await?;
    store.commit_event(&Noted { text: "leads".into() })?.persisted().await?;
    println!("leads");
    stdin().lock().read_line(&mut String::new())?;
    Ok(store.shutdown(LIMIT).await?)
}

async fn take_over(dir: &Path, is_killed: bool) -> Outcome<Duration> {
    let mut leader = start_leader(dir)?;
    let store = open(dir).await?;
    let started = Instant::now();
    if is_killed {
        leader.kill()?;
    } else {
        leader.stdin.take().ok_or("no standard input")?.write_all(b"end\n")?;
        // A commit that came before the end would be durable there.
        leader.wait()?;
    }
    store.commit_event(&Noted { text: "took over".into() })?.persisted().await?;
    let took = started.elapsed();
    leader.wait()?;
    store.shutdown(LIMIT).await?;
    Ok(took)
}

fn start_leader(dir: &Path) -> Outcome<Child> {
    let mut leader = Command::new(env::current_exe()?)
        .env(LEADER, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(leader.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
    if line == "leads\n" { Ok(leader) } else { Err("the leader did not start".into()) }
}
