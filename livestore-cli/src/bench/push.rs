//! Pushes: how many are acknowledged, and how soon.
//!
//! Clients alone on a store never wait for each other. Those that share one do: of the pushes that name a head one is
//! accepted, and the others are refused and pushed again on the new head. The time of an acknowledgement counts from
//! the first try.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Client, Pushed};
use super::cpu::CpuWatch;
use super::events::Author;
use super::latency::Latencies;
use super::ledger::Ledger;
use super::report::PushRow;
use super::{Bench, verify};
use crate::error::CommandError;

/// How many connections are opened at the same time.
pub(super) const CONNECTING: usize = 16;
/// How often a client takes it that the server fails, one time after the other.
const MAX_FAILURES: u32 = 20;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// What is pushed by how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) clients: usize,
    /// At most as many as clients, which are spread over them.
    pub(super) stores: usize,
    pub(super) batch: u64,
}

/// Pushes for as long as was asked for, then reads back what was pushed.
pub(super) async fn measure(bench: &Bench, load: Load) -> Result<PushRow, CommandError> {
    let Load { clients, stores, batch } = load;
    let names: Vec<String> = (0..stores).map(|_| bench.new_store()).collect();
    let authors: Vec<Author> = (0..clients).map(|client| bench.author(client)).collect();
    let what = format!("push, {clients} clients on {stores} stores, batches of {batch}");
    bench.progress.step(format_args!("{what}: connecting"));
    let pushers: Vec<Pusher> = stream::iter(0..clients)
        .map(|client| Pusher::start(bench, &names[client % stores], client))
        .buffered(CONNECTING)
        .try_collect()
        .await?;

    let window = Window::opening(bench);
    let accepted = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for pusher in pushers {
        tasks.spawn(pusher.run(window, batch, accepted.clone()));
    }
    let work = async {
        tokio::time::sleep_until(window.from).await;
        let cpu = CpuWatch::start();
        let mut tallies = Vec::with_capacity(clients);
        while let Some(done) = tasks.join_next().await {
            let done =
                done.map_err(|error| CommandError::new("a client of the bench failed").caused_by(error))?;
            tallies.push(done?);
        }
        Ok::<_, CommandError>((tallies, cpu.cores()))
    };
    let (tallies, client_cpu) = bench.progress.count(&what, "pushes", &accepted, work).await?;

    let mut total = Tally::new();
    let mut ledgers: Vec<Ledger> = names.iter().map(|_| Ledger::default()).collect();
    for (client, tally, ledger) in tallies {
        total.add(&tally);
        ledgers[client % stores].merge(ledger);
    }
    bench.progress.step(format_args!("{what}: reading back"));
    let mut verified = 0;
    for (name, ledger) in names.iter().zip(ledgers) {
        verified += verify::store(bench, name, ledger, &authors).await?;
    }
    Ok(PushRow::new(load, window.length(), &total, client_cpu, verified))
}

/// When what happens counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    from: Instant,
    until: Instant,
}

impl Window {
    /// Opens after the warm-up.
    fn opening(bench: &Bench) -> Self {
        let from = Instant::now() + bench.warm_up();
        Self { from, until: from + bench.time }
    }

    fn length(&self) -> Duration {
        self.until - self.from
    }

    fn has(&self, at: Instant) -> bool {
        (self.from..=self.until).contains(&at)
    }
}

/// What happened in the window.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) acks: Latencies,
}

impl Tally {
    fn new() -> Self {
        Self { accepted: 0, refused: 0, failed: 0, acks: Latencies::new() }
    }

    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.failed += other.failed;
        self.acks.merge(&other.acks);
    }
}

/// A client that pushes.
pub(super) struct Pusher {
    client: Box<dyn Client>,
    author: Author,
    number: usize,
    /// The head as this client knows it.
    head: u64,
    /// The first event that was not pushed yet.
    next: u64,
    failures: u32,
    ledger: Ledger,
}

impl Pusher {
    /// Connects, and pushes one event: the first touch of a store costs more than what follows.
    pub(super) async fn start(bench: &Bench, store: &str, number: usize) -> Result<Self, CommandError> {
        let client = bench.target.connect(store).await?;
        let author = bench.author(number);
        let mut pusher =
            Self { client, author, number, head: 0, next: 0, failures: 0, ledger: Ledger::default() };
        pusher.push_through(1).await?;
        Ok(pusher)
    }

    /// The last event of the log that this client knows.
    pub(super) const fn head(&self) -> u64 {
        self.head
    }

    /// The next event of this client.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// Pushes the next events until they are accepted.
    pub(super) async fn push_through(&mut self, count: u64) -> Result<(), CommandError> {
        while !matches!(self.attempt(count).await?, Pushed::Accepted) {}
        Ok(())
    }

    async fn run(
        mut self,
        window: Window,
        batch: u64,
        counter: Arc<AtomicU64>,
    ) -> Result<(usize, Tally, Ledger), CommandError> {
        let mut tally = Tally::new();
        let mut begun = Instant::now();
        let mut now = begun;
        while now < window.until {
            let outcome = self.attempt(batch).await?;
            let ended = Instant::now();
            let counts = window.has(ended);
            match outcome {
                Pushed::Accepted => {
                    counter.fetch_add(1, Ordering::Relaxed);
                    if counts {
                        tally.accepted += 1;
                        tally.acks.record(ended - begun);
                    }
                    begun = ended;
                }
                Pushed::Failed(_) => {
                    tally.failed += u64::from(counts);
                    begun = ended;
                }
                // These events are pushed again: their time goes on until they are accepted.
                Pushed::Ahead { .. } => tally.refused += u64::from(counts),
            }
            now = ended;
        }
        Ok((self.number, tally, self.ledger))
    }

    /// Pushes the next events once.
    async fn attempt(&mut self, count: u64) -> Result<Pushed, CommandError> {
        let batch = self.author.batch(self.next, count, self.head);
        let outcome = self.client.push(&batch).await?;
        match &outcome {
            Pushed::Accepted => {
                self.ledger.acknowledge(self.number, &batch);
                self.head = batch.last();
                self.next += count;
                self.failures = 0;
            }
            Pushed::Ahead { head } => {
                self.head = *head;
                self.failures = 0;
            }
            Pushed::Failed(why) => {
                self.ledger.leave_open(self.number, &batch);
                // Nobody knows whether those are stored, so they are not pushed again.
                self.next += count;
                self.failures += 1;
                if self.failures == MAX_FAILURES {
                    return Err(CommandError::new(format!("the server refuses every push: {why}")));
                }
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        Ok(outcome)
    }
}
