//! A short run of every layer, and tests of the simulation itself: it repeats, and it notices.

use livestore_sim::broken::Broken;
use livestore_sim::faults::FaultSet;
use livestore_sim::{Layer, Plan, run};

/// Seeds of each layer; `.ci/run` runs many more.
const SEEDS: u64 = 15;

fn passes(plan: &Plan) {
    let outcome = run(plan);
    let trace = &outcome.trace;
    assert!(outcome.violation.is_none(), "{plan}\n  {}\n{trace}", outcome.violation.unwrap_or_default());
}

#[test]
fn whatever_happens_nothing_is_lost_and_everybody_converges() {
    for layer in Layer::ALL {
        (1..=SEEDS).for_each(|seed| passes(&Plan::new(layer, seed)));
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for layer in Layer::ALL {
        for seed in 1..=4 {
            let plan = Plan::new(layer, seed);
            let (one, other) = (run(&plan), run(&plan));
            assert_eq!(one.trace, other.trace, "{plan}");
            assert_eq!(one.simulated, other.simulated);
        }
    }
}

/// Each part that breaks a rule is noticed, and soon.
#[test]
fn broken_parts_are_noticed() {
    for broken in Broken::ALL {
        let layer = broken.layer();
        let plan = |seed, broken| Plan { faults: layer.faults(), broken, ..Plan::new(layer, seed) };
        let seed = (1..=100).find(|seed| run(&plan(*seed, Some(broken))).violation.is_some());
        let seed = seed.unwrap_or_else(|| panic!("{broken} was not noticed"));
        // That it is broken is what was noticed.
        passes(&plan(seed, None));
    }
}

/// Without faults nothing is noticed by mistake, and no commit is lost on its way.
#[test]
fn without_faults_everything_is_confirmed() {
    for layer in Layer::ALL {
        for seed in 1..=5 {
            passes(&Plan { faults: FaultSet::NONE, ..Plan::new(layer, seed) });
        }
    }
}

/// Seeds that once failed. What was wrong has tests of its own beside the parts; these keep the runs.
mod failed_once {
    use super::*;

    /// A session that had started anew took the last event of its snapshot for the place of all its commits: after a
    /// rollback behind that, their receipts stayed open for ever.
    #[test]
    fn receipts_after_a_new_start_and_a_rollback() {
        passes(&Plan::new(Layer::Memory, 905));
    }

    /// An own event that a reset had archived was brought back by another client, and passed for the pending event at its
    /// number, whose args were lost.
    #[test]
    fn archived_events_that_come_back() {
        passes(&Plan::new(Layer::Network, 3));
    }

    /// The same, after the leader had been started again.
    #[test]
    fn archived_events_that_come_back_after_a_start() {
        passes(&Plan::new(Layer::Network, 548));
    }

    /// A client that had got only a part of a unit took that part for pushed when it pushed its history again.
    #[test]
    fn a_part_of_a_unit_that_is_pushed_again() {
        passes(&Plan::new(Layer::Memory, 120_871));
    }
}
