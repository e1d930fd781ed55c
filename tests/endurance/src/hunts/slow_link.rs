//! One client on a slow link, while others on fast ones write to the same store without end.
//!
//! A push is accepted only at the head, so a client far away competes with everybody who is nearer: between the moment
//! it learns of a head and the moment its push arrives, a round trip passes, and any event that somebody else brings in
//! then refuses the push. The hunt measures, at several rates of foreign events, how long a commit waits until it is
//! confirmed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use livestore_engine::{Receipt, Store};
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{line, notebook};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::binaries::Binaries;
use crate::cable::{Cable, Speed};
use crate::findings::{Findings, Waits, millis, progress};
use crate::ledger::{Ledger, audit};
use crate::server::{Server, ServerOptions, connect};
use crate::writer::{Stop, Writer};
use crate::{HANG, HarnessResult};

const FAST_CLIENTS: usize = 4;

/// How the hunt goes.
#[derive(Clone, Debug)]
pub struct SlowLink {
    /// The programs.
    pub binaries: Binaries,
    /// What the server keeps its data in.
    pub store: String,
    /// The link of the slow client.
    pub speed: Speed,
    /// How long the foreign traffic lasts, at each rate.
    pub time: Duration,
    /// The longest pause of each fast client between two pushes, by rate.
    pub pauses: Vec<Duration>,
}

/// Runs the hunt.
///
/// # Errors
/// Of the harness.
pub async fn run(options: &SlowLink) -> HarnessResult<Findings> {
    let mut findings = Findings::default();
    let dir = tempfile::tempdir()?;
    let server = start(options, dir.path()).await?;
    for (level, pause) in options.pauses.iter().enumerate() {
        progress(format_args!("{FAST_CLIENTS} fast clients that pause up to {}", millis(*pause)));
        measure(options, &server, &format!("level{level}"), *pause, &mut findings).await?;
    }
    findings.violations(server.panics());
    Ok(findings)
}

async fn start(options: &SlowLink, dir: &Path) -> HarnessResult<Server> {
    Server::start(ServerOptions::new(options.binaries.clone(), dir).store(&options.store)).await
}

/// The fast clients of a store.
struct Fast {
    stop: Stop,
    acknowledged: Arc<AtomicU64>,
    running: Vec<tokio::task::JoinHandle<(Writer, Result<(), String>)>>,
}

impl Fast {
    fn start(server: &Server, name: &str, pause: Duration) -> HarnessResult<Self> {
        let (stop, acknowledged) = (Stop::default(), Arc::<AtomicU64>::default());
        let running = (0..FAST_CLIENTS).map(|n| {
            let backend = connect(&server.url("ws"), name)?;
            let mut writer = Writer::new(format!("fast{n}"), backend, 0).counted_by(acknowledged.clone());
            let stop = stop.clone();
            Ok(tokio::spawn(async move {
                let outcome = writer.run(pause, &stop).await;
                (writer, outcome)
            }))
        });
        let running = running.collect::<HarnessResult<Vec<_>>>()?;
        Ok(Self { stop, acknowledged, running })
    }

    async fn end(self, findings: &mut Findings) -> HarnessResult<Ledger> {
        self.stop.stop();
        let mut ledger = Ledger::default();
        for running in self.running {
            let (writer, outcome) = running.await?;
            findings.violations(outcome.err());
            ledger.add(writer.name(), writer.written().clone());
        }
        Ok(ledger)
    }
}

async fn measure(
    options: &SlowLink,
    server: &Server,
    name: &str,
    pause: Duration,
    findings: &mut Findings,
) -> HarnessResult<()> {
    let cable = Cable::new(server.addr(), options.speed).await?;
    let slow = notebook(&MemoryStorage::default()).upstream(connect(&cable.url("ws"), name)?).start().await?;
    slow.synced().await?;
    let fast = Fast::start(server, name, pause)?;
    let began = Instant::now();
    let (waits, open) = commit_until(&slow, began + options.time).await?;
    let rate = fast.acknowledged.load(Ordering::Relaxed) as f64 / options.time.as_secs_f64();
    let carried = cable.carried() as f64 / options.time.as_secs_f64() / 1000.0;
    let status = slow.watch_status().current();
    let lag = fast.acknowledged.load(Ordering::Relaxed).saturating_sub(status.upstream_head.global.0);
    let what = format!("pauses to {}", millis(pause));
    findings.figure(
        format!("{what}: foreign"),
        format!("{rate:.0} events/s, {carried:.1} kB/s came over the link"),
    );
    findings.figure(format!("{what}: commit to confirmed"), &waits);
    findings.figure(format!("{what}: rebases, lag"), format!("{}, {lag} events", status.generation.0));
    let ledger = fast.end(findings).await?;
    if let Some((receipt, since)) = open {
        let waited = since.elapsed();
        findings.figure(format!("{what}: still open"), format!("after {}", millis(waited)));
        findings.expect(waits.count() > 0, || {
            format!("at {rate:.0} foreign events/s the slow client confirmed nothing in {:?}", options.time)
        });
        let stopped = Instant::now();
        timeout_at(stopped + HANG, receipt.confirmed()).await.map_err(|_| "never confirmed")??;
        findings.figure(
            format!("{what}: confirmed then"),
            format!("{} after they stopped", millis(stopped.elapsed())),
        );
    }
    slow.shutdown(HANG).await?;
    let audited = audit(&*connect(&server.url("ws"), name)?, &ledger).await?;
    findings.violations(audited.violations);
    Ok(())
}

/// Commits one event after the other until the time is over. Returns the waits, and what was not confirmed by then.
async fn commit_until(store: &Store, end: Instant) -> HarnessResult<(Waits, Option<(Receipt, Instant)>)> {
    let mut waits = Waits::default();
    let mut n = 0;
    loop {
        n += 1;
        let begun = Instant::now();
        let receipt = store.commit([line(format!("slow {n}"))])?;
        match timeout_at(end, receipt.confirmed()).await {
            Ok(confirmed) => drop(confirmed?),
            Err(_) => return Ok((waits, Some((receipt, begun)))),
        }
        waits.record(begun.elapsed());
        sleep_until(end.min(Instant::now() + Duration::from_millis(100))).await;
        if Instant::now() >= end {
            return Ok((waits, None));
        }
    }
}
