//! One pushed event until each of many subscribers has it.
//!
//! The next event is pushed when everyone has the last one, so the time is that of a delivery and not of a queue. It
//! counts from before the push, and holds everything: what the push costs, that it was made durable, and the reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use livestore_traits::PullMode;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Client, PATIENCE, Page};
use super::cpu::CpuWatch;
use super::events::Author;
use super::latency::Latencies;
use super::push::{CONNECTING, Pusher};
use super::report::FanOutRow;
use super::{Bench, verify};
use crate::error::CommandError;

/// Lets `subscribers` follow a store, pushes into it event by event, and reads back what was pushed.
pub(super) async fn measure(bench: &Bench, subscribers: usize) -> Result<FanOutRow, CommandError> {
    let name = bench.new_store();
    let what = format!("fan-out, {subscribers} subscribers");
    bench.progress.step(format_args!("{what}: connecting"));
    let mut pusher = Pusher::start(bench, &name, 0).await?;
    let clients: Vec<Box<dyn Client>> = stream::iter(0..subscribers)
        .map(|_| subscribe(bench, &name))
        .buffered(CONNECTING)
        .try_collect()
        .await?;
    let round = Arc::new(Round::new(subscribers));
    let mut followers = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        followers.spawn(follow(number, client, round.clone()));
    }

    let author = bench.author(0);
    let rounds = Arc::new(AtomicU64::new(0));
    let work = deliveries(bench, &mut pusher, &author, &round, &rounds);
    let (times, last, client_cpu) = bench.progress.count(&what, "rounds", &rounds, work).await?;
    drop(followers);
    bench.progress.step(format_args!("{what}: reading back"));
    let verified = verify::store(bench, &name, pusher.into_ledger(), &[author]).await?;
    Ok(FanOutRow {
        subscribers,
        rounds: last.count(),
        delivery: times.summary(),
        last: last.summary(),
        client_cpu,
        verified,
    })
}

/// A client that follows the store and has everything up to now.
async fn subscribe(bench: &Bench, name: &str) -> Result<Box<dyn Client>, CommandError> {
    let mut client = bench.target.connect(name).await?;
    client.pull(PullMode::Live).await?;
    loop {
        match client.page().await? {
            Some(page) if page.is_last => return Ok(client),
            Some(_) => {}
            None => return Err(CommandError::new("a live pull ended")),
        }
    }
}

/// Puts what arrives into the round, until it fails.
async fn follow(number: usize, mut client: Box<dyn Client>, round: Arc<Round>) {
    loop {
        let arrived = match client.page().await {
            // Long polls end without events, too.
            Ok(Some(page)) if page.events == 0 => continue,
            Ok(Some(page)) => Ok((number, page)),
            Ok(None) => Err(CommandError::new("a live pull ended")),
            Err(error) => Err(error),
        };
        let is_over = arrived.is_err();
        round.put(arrived);
        if is_over {
            return;
        }
    }
}

async fn deliveries(
    bench: &Bench,
    pusher: &mut Pusher,
    author: &Author,
    round: &Round,
    counter: &AtomicU64,
) -> Result<(Latencies, Latencies, Option<f64>), CommandError> {
    let warm = Instant::now() + bench.warm_up();
    while Instant::now() < warm {
        deliver(pusher, author, round).await?;
    }
    let (mut times, mut last) = (Latencies::new(), Latencies::new());
    let cpu = CpuWatch::start();
    let until = Instant::now() + bench.time;
    while Instant::now() < until {
        let delivered = deliver(pusher, author, round).await?;
        last.record(delivered.iter().max().copied().unwrap_or_default());
        delivered.into_iter().for_each(|time| times.record(time));
        counter.fetch_add(1, Ordering::Relaxed);
    }
    Ok((times, last, cpu.cores()))
}

/// Pushes one event and waits until everyone has it: exactly it, and once. Says how long it took each of them.
async fn deliver(pusher: &mut Pusher, author: &Author, round: &Round) -> Result<Vec<Duration>, CommandError> {
    let (n, seq) = (pusher.next(), pusher.head() + 1);
    let begun = Instant::now();
    let (pushed, arrived) = tokio::join!(pusher.push_through(1), round.complete());
    pushed?;
    let arrived = arrived?;
    let mut has = vec![false; arrived.len()];
    for (subscriber, page) in &arrived {
        let is_second = std::mem::replace(&mut has[*subscriber], true);
        page.for_each(|seen| {
            if seen.seq != seq || page.events != 1 || is_second {
                return Err(CommandError::new(format!(
                    "a subscriber got event {} for event {seq}",
                    seen.seq
                )));
            }
            author.check(n, seen)
        })?;
    }
    Ok(arrived.iter().map(|(_, page)| page.at - begun).collect())
}

/// What has arrived at whom. Whoever is the last one wakes who waits; waking at each arrival would cost more than the
/// arrivals do.
#[derive(Debug)]
struct Round {
    subscribers: usize,
    arrived: std::sync::Mutex<Arrived>,
    is_complete: Notify,
}

type Arrived = Result<Vec<(usize, Page)>, CommandError>;

impl Round {
    fn new(subscribers: usize) -> Self {
        Self { subscribers, arrived: std::sync::Mutex::new(Ok(Vec::new())), is_complete: Notify::new() }
    }

    fn put(&self, page: Result<(usize, Page), CommandError>) {
        let mut arrived = self.lock();
        match (&mut *arrived, page) {
            // The first error is the one to tell.
            (Err(_), _) => {}
            (Ok(pages), Ok(page)) => pages.push(page),
            (Ok(_), Err(error)) => *arrived = Err(error),
        }
        if arrived.as_ref().map_or(true, |pages| pages.len() >= self.subscribers) {
            self.is_complete.notify_one();
        }
    }

    /// Waits until everyone has something, and takes it.
    async fn complete(&self) -> Arrived {
        if tokio::time::timeout(PATIENCE, self.is_complete.notified()).await.is_err() {
            let arrived = self.lock().as_ref().map_or(0, Vec::len);
            return Err(CommandError::new(format!(
                "after {} seconds an event had reached {arrived} of {} subscribers",
                PATIENCE.as_secs(),
                self.subscribers
            )));
        }
        std::mem::replace(&mut *self.lock(), Ok(Vec::with_capacity(self.subscribers)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
