//! Pushes come faster than the disk takes them: many clients, each with many pushes on the way at once. Every one is
//! answered, and the server's memory stays within what its limits add up to.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use livestore_traits::{BackendId, GlobalSeq, Push, PushAck, PushError, SyncBackend};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::binaries::Binaries;
use crate::findings::{Findings, Waits, mebibytes, progress};
use crate::ledger::{Ledger, Written, audit};
use crate::server::{Server, ServerOptions, connect};
use crate::usage::Usage;
use crate::writer::{Stop, events, sentence};
use crate::{HANG, HarnessResult};

/// How many pushes a client has on the way; its connection allows no more.
const ON_THE_WAY: usize = 32;
/// What the server may take beside what is on the way: its queue, caches, tails, and what its allocator keeps.
const MEMORY_BYTES: u64 = 320 * 1024 * 1024;

/// How the hunt goes.
#[derive(Clone, Debug)]
pub struct Flood {
    /// The programs.
    pub binaries: Binaries,
    /// What the server keeps its data in.
    pub store: String,
    /// How long it lasts, for each size.
    pub time: Duration,
    /// How many clients there are, each with a store of its own.
    pub clients: usize,
    /// The sizes of the texts of events, in bytes.
    pub sizes: Vec<usize>,
}

/// Runs the hunt.
///
/// # Errors
/// Of the harness.
pub async fn run(options: &Flood) -> HarnessResult<Findings> {
    let mut findings = Findings::default();
    for size in &options.sizes {
        progress(format_args!("{} clients, events of {size} bytes", options.clients));
        let dir = tempfile::tempdir()?;
        let server = ServerOptions::new(options.binaries.clone(), dir.path()).store(&options.store);
        let server = Server::start(server).await?;
        flood(options, &server, *size, &mut findings).await?;
        findings.violations(server.panics());
    }
    Ok(findings)
}

async fn flood(options: &Flood, server: &Server, size: usize, findings: &mut Findings) -> HarnessResult<()> {
    let stop = Stop::default();
    let before = Usage::of(server.pid()).ok_or("this system does not tell what a process holds")?;
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        let client = Client::new(server, number, size)?;
        clients.spawn(client.run(stop.clone()));
    }
    let begun = Instant::now();
    sleep(options.time).await;
    stop.stop();
    let (mut all, mut done) = (Tally::default(), Vec::new());
    while let Some(client) = timeout(2 * HANG, clients.join_next()).await? {
        let client = client?;
        all.add(&client.tally);
        done.push(client);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let peak_bytes = Usage::of(server.pid()).ok_or("the server is gone")?.peak_bytes;
    findings.figure(
        format!("{size} bytes: accepted"),
        format!(
            "{:.0} events/s, {:.1} MB/s",
            all.accepted as f64 / seconds,
            (all.accepted * size as u64) as f64 / seconds / 1e6
        ),
    );
    findings.figure(format!("{size} bytes: answered in"), &all.waits);
    findings.figure(
        format!("{size} bytes: refused as busy, after such a one"),
        format!("{}, {}", all.busy, all.ahead),
    );
    let on_the_way = (options.clients * ON_THE_WAY * size) as u64;
    let grown = peak_bytes.saturating_sub(before.resident_bytes);
    findings.figure(
        format!("{size} bytes: memory at most"),
        format!("{}, of which {} may be on the way", mebibytes(peak_bytes), mebibytes(on_the_way)),
    );
    // What is on the way is held as it came, and as it is written.
    findings
        .expect(grown <= 2 * on_the_way + MEMORY_BYTES, || format!("the server took {}", mebibytes(grown)));
    findings.violations(all.violations);
    for client in done {
        let mut ledger = Ledger::default();
        ledger.add(client.name, client.written);
        findings.violations(audit(&*client.backend, &ledger).await?.violations);
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    busy: u64,
    ahead: u64,
    waits: Waits,
    violations: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.busy += other.busy;
        self.ahead += other.ahead;
        self.waits.merge(&other.waits);
        self.violations.extend_from_slice(&other.violations);
    }
}

/// Which push it was, how long its answer took, and the answer if there was one.
type Answered = (u64, Duration, Option<Result<PushAck, PushError>>);

/// A client that does not wait for answers before it pushes on.
struct Client {
    name: String,
    backend: Arc<dyn SyncBackend>,
    backend_id: Option<BackendId>,
    written: Written,
    tally: Tally,
}

impl Client {
    fn new(server: &Server, number: usize, size: usize) -> HarnessResult<Self> {
        let name = format!("flood{number}");
        let backend = connect(&server.url("ws"), &name)?;
        let written = Written { text_bytes: size, ..Written::default() };
        Ok(Self { name, backend, backend_id: None, written, tally: Tally::default() })
    }

    async fn run(mut self, stop: Stop) -> Self {
        while !stop.is_stopped() && self.tally.violations.is_empty() {
            if let Err(violation) = self.burst(&stop).await {
                self.tally.violations.push(violation);
            }
        }
        self
    }

    /// Pushes one event after the other, until one is refused or it is time to stop; then waits for all answers. Alone
    /// on its store, its number `n` is also the log's.
    async fn burst(&mut self, stop: &Stop) -> Result<(), String> {
        let mut next = self.written.acknowledged.len() as u64 + 1;
        let (mut on_the_way, mut refused) = (FuturesOrdered::new(), false);
        loop {
            while on_the_way.len() < ON_THE_WAY && !refused && !stop.is_stopped() {
                on_the_way.push_back(self.push(next).map_err(|error| error.to_string())?);
                next += 1;
            }
            let Some((n, wait, answer)) = on_the_way.next().await else { return Ok(()) };
            self.tally.waits.record(wait);
            match answer.ok_or_else(|| format!("push {n} of {} was never answered", self.name))? {
                Ok(ack) if ack.cursor.after != GlobalSeq(n) => {
                    return Err(format!(
                        "push {n} of {} was acknowledged as {}",
                        self.name, ack.cursor.after
                    ));
                }
                Ok(ack) => {
                    self.backend_id = Some(ack.backend_id);
                    self.written.acknowledged.push((GlobalSeq(n), n));
                    self.tally.accepted += 1;
                }
                Err(PushError::Busy(_)) => {
                    self.tally.busy += 1;
                    refused = true;
                }
                // It came after one that was refused.
                Err(PushError::UpstreamAhead { .. }) if refused => self.tally.ahead += 1,
                Err(error) => return Err(format!("push {n} of {}: {}", self.name, sentence(&error))),
            }
        }
    }

    fn push(&mut self, n: u64) -> HarnessResult<impl Future<Output = Answered> + use<>> {
        let parent = GlobalSeq(n - 1);
        let events = events(&self.name, parent, n..=n, &self.written)?;
        self.written.sent = self.written.sent.max(n);
        let push = Push::new(self.backend_id.clone(), parent, None, events);
        let backend = self.backend.clone();
        Ok(async move {
            let begun = Instant::now();
            let answer = timeout(HANG, backend.push(push)).await.ok();
            (n, begun.elapsed(), answer)
        })
    }
}
