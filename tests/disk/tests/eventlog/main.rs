//! The eventlog on redb, on a disk that fails, fills up and loses power: what was committed is there, what was under way
//! is there whole or not at all, and nothing else ever is.

mod life;
mod view;

use life::{Disk, Tally, live};
use livestore_disk::{DiskStats, seeds};

/// Lives in a plain run of the tests.
const SEEDS: u64 = 60;

fn live_all(seeds: std::ops::Range<u64>, disk: Disk) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for seed in seeds {
        live(seed, disk, &mut tally).map_err(|violation| format!("seed {seed}: {violation}"))?;
    }
    Ok(tally)
}

#[test]
fn a_log_keeps_what_it_committed_whatever_the_disk_does() {
    let tally = live_all(0..seeds(SEEDS), Disk::Honest).unwrap();
    println!("{tally:?}");
    if seeds(SEEDS) < SEEDS {
        // Too few for all of this to happen.
        return;
    }
    // The test means something only if all of this happened.
    let DiskStats {
        full, failed_writes, partial_writes, failed_syncs, failed_reads, deaths, at_risk, ..
    } = tally.disk;
    for (what, count) in [
        ("full disks", full),
        ("failed writes", failed_writes),
        ("writes that failed half way", partial_writes),
        ("failed syncs", failed_syncs),
        ("failed reads", failed_reads),
        ("deaths", deaths),
        ("changes at risk", at_risk),
        ("commits", tally.commits),
        ("commits that failed", tally.failed_commits),
        ("failed commits that were there all the same", tally.late_commits),
        ("failures to open", tally.failed_opens),
        ("commits of zombies", tally.zombie_commits),
    ] {
        assert!(count > 5, "only {count} {what}");
    }
}

#[test]
fn a_disk_that_lies_is_noticed() {
    let noticed = (0..SEEDS).find(|&seed| live(seed, Disk::Lying, &mut Tally::default()).is_err());
    assert!(noticed.is_some_and(|seed| seed < 10), "not before seed {noticed:?}");
}

#[test]
fn the_same_seed_leads_the_same_life() {
    let tally = |seed| live_all(seed..seed + 3, Disk::Honest).unwrap();
    assert_eq!(tally(5), tally(5));
}
