//! A few seconds of the hunts, with small numbers and a fixed seed. The long ones are the program's.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;
use std::time::Duration;

use livestore_endurance::binaries::Binaries;
use livestore_endurance::findings::Findings;
use livestore_endurance::hunts::disk_full::{self, DiskFull, Full};
use livestore_endurance::hunts::kills::{self, Kills, Until};
#[cfg(target_os = "linux")]
use livestore_endurance::hunts::never_reads::{self, NeverReads};
use livestore_endurance::hunts::restarts;

/// Built once, by whichever test comes first.
static BINARIES: LazyLock<Binaries> = LazyLock::new(|| Binaries::built().unwrap());

fn judge(findings: &Findings) {
    println!("{findings}");
    assert!(findings.violated().is_empty(), "{findings}");
}

#[tokio::test]
async fn killed_at_random_nothing_is_lost() {
    let binaries = BINARIES.clone();
    fastrand::seed(7);
    let (until, pause) = (Until::Time(Duration::from_secs(5)), Duration::from_millis(500));
    let hunt = Kills { binaries, until, store: "redb".to_owned(), dirs: 2, pause };
    judge(&kills::run(&hunt).await.unwrap());
}

#[tokio::test]
async fn a_full_disk_refuses_and_then_goes_on() {
    let binaries = BINARIES.clone();
    for store in ["redb", "sqlite"] {
        let (binaries, time) = (binaries.clone(), Duration::from_millis(500));
        let hunt = DiskFull { binaries, store: store.to_owned(), full: Full::FileSize, time };
        judge(&disk_full::run(&hunt).await.unwrap());
    }
}

#[tokio::test]
async fn restarts_under_load_lose_nothing() {
    let binaries = BINARIES.clone();
    fastrand::seed(7);
    judge(&restarts::run(&binaries, "sqlite", 3).await.unwrap());
}

/// Only Linux tells what a process holds.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn subscribers_that_never_read_cost_little_and_are_dropped() {
    let binaries = BINARIES.clone();
    let hunt = NeverReads { binaries, store: "redb".to_owned(), subscribers: 2, megabytes: 15 };
    judge(&never_reads::run(&hunt).await.unwrap());
}
