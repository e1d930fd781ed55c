//! Clients come, pull some, push some, and vanish: politely, without a word, or in the middle of a frame. After that the
//! server has to hold what it held before.

mod tasks;

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use livestore_traits::{Cursor, Pull, PullMode};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::binaries::Binaries;
use crate::cable::{Budget, Cable, Plug, Speed};
use crate::findings::{Findings, mebibytes, progress};
use crate::ledger::{Ledger, audit};
use crate::server::{Server, ServerOptions, WIRES, connect};
use crate::usage::{Usage, wait_for};
use crate::writer::{Stop, Writer};
use crate::{HANG, HarnessResult};

const STORES: u64 = 8;
/// After this idle stores are closed, and so are connections that were reset.
const REST: Duration = Duration::from_secs(7);
/// Silent connections that are held open by the harness; older ones are closed.
const SILENT: usize = 40;
/// How long a visit lasts at most.
const VISIT: Duration = Duration::from_millis(600);
/// Between two samples of what the server holds.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// By how much the memory of the second half may be above that of the first: what an allocator may keep.
const SLACK_BYTES: u64 = 16 * 1024 * 1024;
/// How long a server bears silence of any kind: short enough that what is silent is dropped during the hunt.
const SILENCE: Duration = Duration::from_secs(5);
/// … and keeps a store open that nobody uses.
const STORE_IDLE: Duration = Duration::from_secs(2);
/// The bounds that are [`SILENCE`].
const SILENCES: [&str; 5] =
    ["idle-timeout", "write-timeout", "header-timeout", "max-wait", "first-pull-timeout"];

/// How the hunt goes.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The programs.
    pub binaries: Binaries,
    /// What the server keeps its data in.
    pub store: String,
    /// How long clients come.
    pub time: Duration,
    /// How many are there at once.
    pub visitors: usize,
}

/// What all visitors share.
#[derive(Debug)]
struct Site {
    server: SocketAddr,
    stop: Stop,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    visits: u64,
    ledgers: Vec<Ledger>,
    silent: VecDeque<Cable>,
    violations: Vec<String>,
}

/// Runs the hunt.
///
/// # Errors
/// Of the harness.
pub async fn run(options: &Soak) -> HarnessResult<Findings> {
    let mut findings = Findings::default();
    let dir = tempfile::tempdir()?;
    let server = Server::start(server_options(options, dir.path())).await?;
    let site = Site::new(server.addr());
    let at_rest = rest_after_first_visits(&site, &server).await?;
    progress(format_args!("at rest: {at_rest}"));
    let samples = churn(options, &site, &server).await?;
    progress("no more visits; what is silent is the server's to drop");
    settle(&server, at_rest, &mut findings).await?;
    judge_memory(&samples, &mut findings);
    let book = std::mem::take(&mut *site.book());
    findings.figure("visits", book.visits);
    findings.violations(book.violations);
    let mut acknowledged = 0;
    for (number, ledger) in book.ledgers.iter().enumerate() {
        acknowledged += ledger.acknowledged();
        let audited = audit(&*connect(&server.url("ws"), &store_name(number as u64))?, ledger).await?;
        findings.violations(audited.violations);
    }
    findings.figure("events acknowledged", acknowledged);
    findings.violations(server.panics());
    tasks::count(options, &mut findings).await?;
    Ok(findings)
}

fn server_options(options: &Soak, dir: &Path) -> ServerOptions {
    let mut args: Vec<String> = SILENCES.map(|bound| format!("--{bound}={SILENCE:?}")).into();
    args.push(format!("--store-idle-timeout={STORE_IDLE:?}"));
    args.extend(["--tails-bytes=8MiB", "--tail-bytes=1MiB"].map(str::to_owned));
    if options.store == "redb" {
        args.push("--cache-bytes=16MiB".to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    ServerOptions::new(options.binaries.clone(), dir).store(&options.store).args(&args)
}

impl Site {
    fn new(server: SocketAddr) -> Arc<Self> {
        let book = Book { ledgers: (0..STORES).map(|_| Ledger::default()).collect(), ..Book::default() };
        Arc::new(Self { server, stop: Stop::default(), book: Mutex::new(book) })
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server holds when everything was used once and nobody is there.
async fn rest_after_first_visits(site: &Arc<Site>, server: &Server) -> HarnessResult<Usage> {
    let before = Usage::of(server.pid()).ok_or("this system does not tell what a process holds")?;
    first_visits(site).await?;
    sleep(REST).await;
    let at_rest = wait_for(server.pid(), HANG, |usage| usage.files <= before.files).await;
    at_rest.ok_or_else(|| "the server is gone".into())
}

/// Everything is used once, and nobody stays.
async fn first_visits(site: &Arc<Site>) -> HarnessResult<()> {
    for _ in 0..4 * WIRES.len() {
        visit(site).await?;
    }
    site.book().silent.clear();
    Ok(())
}

/// So many at once, one visit after the other, until they are stopped.
fn visitors(site: &Arc<Site>, count: usize) -> JoinSet<HarnessResult<()>> {
    let mut visitors = JoinSet::new();
    for _ in 0..count {
        let site = site.clone();
        visitors.spawn(async move {
            while !site.stop.is_stopped() {
                visit(&site).await?;
            }
            Ok(())
        });
    }
    visitors
}

async fn churn(options: &Soak, site: &Arc<Site>, server: &Server) -> HarnessResult<Vec<Usage>> {
    let mut visitors = visitors(site, options.visitors);
    let (begun, mut samples) = (Instant::now(), Vec::new());
    while begun.elapsed() < options.time {
        sleep(SAMPLE_EVERY).await;
        let usage = Usage::of(server.pid()).ok_or("the server is gone")?;
        samples.push(usage);
        if samples.len() % 20 == 0 {
            progress(format_args!("{} visits; {usage}", site.book().visits));
        }
    }
    site.stop.stop();
    while let Some(visitor) = visitors.join_next().await {
        visitor??;
    }
    Ok(samples)
}

/// One client, from its first byte until it is gone.
async fn visit(site: &Arc<Site>) -> HarnessResult<()> {
    let (number, store) = {
        let mut book = site.book();
        book.visits += 1;
        (book.visits, fastrand::u64(..STORES))
    };
    let wire = WIRES[number as usize % WIRES.len()];
    let cable = Cable::with_budget(site.server, Speed::default(), budget()).await?;
    let backend = connect(&cable.url(wire), &store_name(store))?;
    let mut writer = Writer::new(format!("visitor{number}"), backend.clone(), 500).jumping();
    let mut pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Live));
    let pages_wanted = fastrand::usize(1..4);
    let pulling = async {
        for _ in 0..pages_wanted {
            // However it ends is right: the cable may break at any byte.
            if pages.next().await.is_none() {
                return;
            }
        }
    };
    let writes = fastrand::u64(0..3);
    let writing = async {
        for _ in 0..writes {
            // Among many there is no telling when it is its turn.
            writer.try_write(fastrand::u64(1..3)).await?;
        }
        Ok(())
    };
    let outcome = timeout(VISIT.mul_f64(fastrand::f64()), futures::future::join(pulling, writing)).await;
    let mut book = site.book();
    if let Ok(((), Err(violation))) = outcome {
        book.violations.push(violation);
    }
    book.ledgers[store as usize].add(writer.name(), writer.written().clone());
    // Every second one vanishes and is not heard of again.
    if fastrand::bool() {
        cable.set(if fastrand::bool() { Plug::Dead } else { Plug::Reset });
        book.silent.push_back(cable);
        if book.silent.len() > SILENT {
            book.silent.pop_front();
        }
    }
    Ok(())
}

/// Where the connections of a visit break by themselves, if they do: often in the middle of a frame.
fn budget() -> Option<Budget> {
    let end = fastrand::choice([Plug::Out, Plug::Reset, Plug::Dead])?;
    fastrand::bool().then(|| Budget { bytes: fastrand::usize(1..4000), end })
}

fn store_name(number: u64) -> String {
    format!("soak{number}")
}

/// The silent ones are still there, as far as the server can know; it has to give up on them.
async fn settle(server: &Server, at_rest: Usage, findings: &mut Findings) -> HarnessResult<()> {
    let begun = Instant::now();
    // Threads that read files for others are kept for some seconds.
    let is_at_rest = |usage: &Usage| usage.files <= at_rest.files && usage.threads <= at_rest.threads;
    let settled = wait_for(server.pid(), HANG, is_at_rest).await.ok_or("the server is gone")?;
    findings.figure("at rest before", at_rest);
    findings.figure("at rest after", format!("{settled}, {:.1} s later", begun.elapsed().as_secs_f64()));
    findings.expect(settled.files <= at_rest.files, || {
        let files = open_files(server.pid()).join(", ");
        format!("{} files were open before, and {} after: {files}", at_rest.files, settled.files)
    });
    findings.expect(settled.threads <= at_rest.threads, || {
        format!("{} threads before, {} after", at_rest.threads, settled.threads)
    });
    Ok(())
}

fn open_files(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.map(|target| target.display().to_string()).collect()
}

fn judge_memory(samples: &[Usage], findings: &mut Findings) {
    // The first fifth is for caches to fill.
    let samples = &samples[samples.len() / 5..];
    let (first, second) = samples.split_at(samples.len() / 2);
    let mean = |half: &[Usage]| {
        half.iter().map(|usage| usage.resident_bytes).sum::<u64>() / half.len().max(1) as u64
    };
    let most = |half: &[Usage]| half.iter().map(|usage| usage.files).max().unwrap_or_default();
    let (before, after) = (mean(first), mean(second));
    findings.figure("memory, first half", format!("{} on average", mebibytes(before)));
    findings.figure("memory, second half", format!("{} on average", mebibytes(after)));
    findings.figure("files at most, by half", format!("{}, {}", most(first), most(second)));
    findings.expect(after <= before + before / 5 + SLACK_BYTES, || {
        format!("memory grows: {} in the first half, {} in the second", mebibytes(before), mebibytes(after))
    });
}
