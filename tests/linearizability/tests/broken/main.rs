//! Backends with one flaw each: the checker must catch every one.

mod flawed;

use std::sync::Arc;

use flawed::{Flaw, Flawed};
use livestore_backend_memory::MemoryBackend;
use livestore_linearizability::checker::{DEFAULT_LIMIT, Verdict, check};
use livestore_linearizability::clients::{Mix, history_over};
use livestore_linearizability::log::Log;
use livestore_traits::SyncBackend;

/// Histories within which a flaw is caught.
const BOUND: u64 = 20;

/// What a history over a flawed backend came to.
#[derive(Debug, PartialEq)]
enum Caught {
    No,
    /// No order explains what was seen.
    ByChecker,
    /// A client heard what no client may hear.
    ByClient,
}

async fn try_one(flaw: Flaw, seed: u64) -> Caught {
    let mix = Mix::default();
    let flawed = Flawed::new(MemoryBackend::new(), flaw, seed);
    let ways = (0..=mix.clients).map(|_| Arc::new(flawed.clone()) as Arc<dyn SyncBackend>).collect();
    match history_over(ways, seed, &mix).await {
        Err(_) => Caught::ByClient,
        Ok(history) => match check::<Log>(&history, DEFAULT_LIMIT) {
            Verdict::Linearizable => Caught::No,
            Verdict::Violation(_) => Caught::ByChecker,
            Verdict::Undecided(count) => panic!("{flaw:?}, seed {seed}: undecided after {count}"),
        },
    }
}

/// Goes on until the checker itself has caught the flaw: that a client stumbled over it proves nothing about it.
async fn is_caught(flaw: Flaw) {
    for seed in 0..BOUND {
        if try_one(flaw, seed).await == Caught::ByChecker {
            return println!("{flaw:?}: caught in history {seed}");
        }
    }
    panic!("{flaw:?}: not caught in {BOUND} histories");
}

macro_rules! caught {
    ($($name:ident: $flaw:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                is_caught(Flaw::$flaw).await;
            }
        )+
    };
}

caught! {
    acknowledges_and_drops: AcknowledgesAndDrops,
    acknowledges_two_on_one_parent: AcknowledgesTwoOnOneParent,
    shows_and_loses: ShowsAndLoses,
    reads_stale: ReadsStale,
    appends_a_repeat: AppendsRepeat,
    refuses_a_repeat: RefusesRepeat,
    leaves_out_a_page: LeavesOutPage,
    changes_what_it_stored: ChangesContent,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_flaw_nothing_is_caught() {
    for seed in 0..BOUND {
        assert_eq!(try_one(Flaw::None, seed).await, Caught::No, "seed {seed}");
    }
}
