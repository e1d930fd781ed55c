//! The backend on redb, on a disk that fails, fills up and loses power: what was acknowledged is there, and each log is
//! one chain of whole batches.

mod life;

use life::{Disk, Tally, live};
use livestore_disk::seeds;

/// Lives in a plain run of the tests.
const SEEDS: u64 = 60;

#[tokio::test]
async fn a_backend_keeps_what_it_acknowledged_whatever_the_disk_does() {
    let mut tally = Tally::default();
    for seed in 0..seeds(SEEDS) {
        let lived = live(seed, Disk::Honest, &mut tally).await;
        lived.unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
    println!("{tally:?}");
    if seeds(SEEDS) < SEEDS {
        // Too few for all of this to happen.
        return;
    }
    let disk = tally.disk;
    for (what, count) in [
        ("full disks", disk.full),
        ("failed writes", disk.failed_writes),
        ("writes that failed half way", disk.partial_writes),
        ("failed syncs", disk.failed_syncs),
        ("failed reads", disk.failed_reads),
        ("deaths", disk.deaths),
        ("changes at risk", disk.at_risk),
        ("acknowledged pushes", tally.pushes),
        ("pushes that failed", tally.failed_pushes),
        ("failed pushes that were there all the same", tally.late_pushes),
        ("pushes that were repeated", tally.repeated_pushes),
    ] {
        // Which pushes share a commit is up to threads, so how often each of these happens is, too.
        assert!(count > 0, "no {what}");
    }
    assert!(tally.longest > 4_096, "the journal was never sorted in: {} events at most", tally.longest);
}

#[tokio::test]
async fn a_disk_that_lies_is_noticed() {
    for seed in 0..10 {
        if live(seed, Disk::Lying, &mut Tally::default()).await.is_err() {
            return;
        }
    }
    panic!("ten seeds and nothing was noticed");
}
