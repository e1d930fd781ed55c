//! A whole log read by a client that has nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use livestore_traits::PullMode;
use tokio::time::Instant;

use super::client::Client;
use super::cpu::CpuWatch;
use super::latency::Latencies;
use super::push::Pusher;
use super::report::PullRow;
use super::{Bench, verify};
use crate::error::CommandError;

/// How large the pushes are that fill the log.
const FILL_BATCH: u64 = 100;
const FILL_BATCH_BYTES: u64 = 500_000;
/// The least and the most pulls; between them time decides.
const PULLS: std::ops::Range<usize> = 3..100;

/// Fills a store, reads it back once to compare it, and then again and again.
pub(super) async fn measure(bench: &Bench, events: u64) -> Result<PullRow, CommandError> {
    let name = bench.new_store();
    let pusher = fill(bench, &name, events).await?;
    bench.progress.step(format_args!("pull, {events} events: reading back"));
    let mut client = bench.target.connect(&name).await?;
    let authors = [bench.author(0)];
    let verified = verify::through(&mut *client, &name, pusher.into_ledger(), &authors).await?;

    let mut timings = Timings { whole: Vec::new(), first: Latencies::new() };
    let cpu = CpuWatch::start();
    let until = Instant::now() + bench.time;
    while timings.whole.len() < PULLS.start || (Instant::now() < until && timings.whole.len() < PULLS.end) {
        bench.progress.step(format_args!("pull, {events} events: pull {}", timings.whole.len() + 1));
        timings.pull(&mut *client, events).await?;
    }
    Ok(PullRow::new(events, &timings.whole, &timings.first, cpu.cores(), verified))
}

async fn fill(bench: &Bench, name: &str, events: u64) -> Result<Pusher, CommandError> {
    let batch = FILL_BATCH.min(FILL_BATCH_BYTES / bench.event_bytes()).max(1);
    let written = Arc::new(AtomicU64::new(0));
    let work = async {
        let mut pusher = Pusher::start(bench, name, 0).await?;
        while pusher.head() < events {
            pusher.push_through(batch.min(events - pusher.head())).await?;
            written.store(pusher.head(), Ordering::Relaxed);
        }
        Ok(pusher)
    };
    bench.progress.count(&format!("pull, {events} events: filling a store"), "events", &written, work).await
}

struct Timings {
    /// How long each pull took.
    whole: Vec<Duration>,
    /// Until the first page.
    first: Latencies,
}

impl Timings {
    /// Pulls the log once; only what arrives counts, on a connection that is open.
    async fn pull(&mut self, client: &mut dyn Client, expected: u64) -> Result<(), CommandError> {
        let begun = Instant::now();
        client.pull(PullMode::Once).await?;
        let (mut events, mut last) = (0, None);
        while let Some(page) = client.page().await? {
            if last.is_none() {
                self.first.record(page.at - begun);
            }
            events += page.events;
            last = Some(page.at);
        }
        if events != expected {
            return Err(CommandError::new(format!("a pull of {expected} events gave {events}")));
        }
        self.whole.push(last.unwrap_or(begun) - begun);
        Ok(())
    }
}
