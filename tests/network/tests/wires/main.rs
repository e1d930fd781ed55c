//! The real clients of all four wires and the real server over a network with faults: nothing is lost, repeated or stuck,
//! and two runs of one seed are the same.
//!
//! `LIVESTORE_SEEDS=100..200` runs other seeds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;
mod world;

use std::ops::Range;

use livestore_sim_network::Wire;
use world::{Run, World};

/// That of each client.
type Wires = [Wire; 3];

/// The seeds of a test: those asked for, or its own.
fn seeds(own: Range<u64>) -> Range<u64> {
    let Ok(asked) = std::env::var("LIVESTORE_SEEDS") else { return own };
    let (from, to) = asked.split_once("..").expect("LIVESTORE_SEEDS is from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

fn converges(wires: Wires) {
    for seed in seeds(20..30) {
        World::run(wires, seed);
    }
}

fn is_deterministic(wires: Wires) {
    for seed in seeds(0..20) {
        let [one, other] = [(); 2].map(|()| World::run(wires, seed));
        let Run { trace, .. } = &one;
        if let Some((a, b)) = trace.iter().zip(&other.trace).find(|(a, b)| a != b) {
            panic!("seed {seed} differs between two runs: {a:?} and {b:?}");
        }
        assert_eq!(one, other, "seed {seed}");
    }
}

macro_rules! wire {
    ($name:ident, $wires:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn all_clients_converge_after_faults() {
                converges($wires);
            }

            #[test]
            fn two_runs_of_one_seed_are_the_same() {
                is_deterministic($wires);
            }
        }
    };
}

wire!(ws, [Wire::Ws; 3]);
wire!(http, [Wire::Http; 3]);
wire!(livestore_ws, [Wire::LiveStoreWs; 3]);
wire!(livestore_http, [Wire::LiveStoreHttp; 3]);
wire!(mixed, [Wire::Ws, Wire::LiveStoreWs, Wire::Http]);
