//! Small cases of clients, sessions and a backend, searched through all schedules with the real processors: crashes
//! between any two durable steps, lost and late answers, cut links and pages, a backend that is restored.
//!
//! A plain run looks at a bounded number of states of each scenario; `LIVESTORE_SEARCH=100` looks at a hundred times as
//! many, `0.1` at a tenth. A violation prints its schedule.

mod actions;
mod backend;
mod check;
mod leaders;
mod search;
mod sessions;
mod state;
#[path = "../support/mod.rs"]
mod support;
mod world;

use crate::search::{Violation, search, walk};
use crate::world::{Mutation, Scenario};

/// States of each scenario in a plain run.
const STATES: usize = 5000;
/// Random walks of each scenario in a plain run, and their steps.
const WALKS: (usize, usize) = (60, 120);

/// So many times what a plain run does.
fn effort(plain: usize) -> usize {
    let times = std::env::var("LIVESTORE_SEARCH").map_or(1.0, |text| {
        text.parse::<f64>()
            .unwrap_or_else(|_| panic!("LIVESTORE_SEARCH is {text:?}, and no factor as 10 or 0.1"))
    });
    (plain as f64 * times).ceil() as usize
}

fn scenario(sessions: &[(usize, &'static str)], foreign: u64, faults: u32) -> Scenario {
    let clients = sessions.iter().map(|(client, _)| client + 1).max().unwrap_or(1);
    Scenario {
        clients,
        sessions: sessions.to_vec(),
        foreign,
        faults,
        restores: 0,
        cut: true,
        native: true,
        mutation: Mutation::None,
    }
}

fn show(violation: &Violation) -> String {
    let mut text = format!("{}\n", violation.why);
    for (index, action) in violation.schedule.iter().enumerate() {
        let mark = if index < violation.faults_end { ' ' } else { '~' };
        text.push_str(&format!("  {mark} {action:?}\n"));
    }
    text
}

/// Searches the scenario over both kinds of wire.
fn holds(scenario: Scenario) {
    for native in [true, false] {
        let scenario = Scenario { native, ..scenario.clone() };
        let found = search(&scenario, effort(STATES));
        println!(
            "native wire {native}: {} states, {}",
            found.states,
            if found.is_all { "all" } else { "cut" }
        );
        if let Some(violation) = found.violation {
            panic!("after {} states, native wire {native}: {}", found.states, show(&violation));
        }
        let (walks, steps) = WALKS;
        if let Some(violation) = walk(&scenario, seed(), effort(walks), steps) {
            panic!("LIVESTORE_SEED={}, native wire {native}: {}", seed(), show(&violation));
        }
    }
}

fn seed() -> u64 {
    std::env::var("LIVESTORE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The search notices that this rule is broken, and says so with one of these words.
fn is_noticed(mutation: Mutation, scenario: Scenario, expected: &[&str]) {
    let scenario = Scenario { mutation, ..scenario };
    let found = search(&scenario, 4 * STATES).violation.or_else(|| walk(&scenario, 1, 4000, 60));
    let violation = found.unwrap_or_else(|| panic!("{mutation:?} went unnoticed"));
    assert!(expected.iter().any(|why| violation.why.contains(why)), "{}", show(&violation));
}

#[test]
fn gone_commits_that_are_not_told_are_noticed() {
    is_noticed(Mutation::HidesGone, scenario(&[(0, "x a")], 0, 0), &["waits for receipts"]);
}

#[test]
fn archived_commits_that_are_not_told_are_noticed() {
    let scenario = Scenario { restores: 1, ..scenario(&[(0, "a b")], 0, 0) };
    is_noticed(Mutation::HidesArchived, scenario, &["unreported"]);
}

#[test]
fn a_log_that_forgets_how_far_commits_were_persisted_is_noticed() {
    is_noticed(Mutation::ForgetsPersisted, scenario(&[(0, "x a")], 0, 2), &["a wrong receipt", "vanished"]);
}

#[test]
fn pushes_of_links_that_were_replaced_are_noticed() {
    is_noticed(Mutation::KeepsOldLinks, scenario(&[(0, "a b")], 1, 2), &["is lost", "twice", "detached"]);
}

#[test]
fn answers_to_attempts_of_earlier_leaders_are_noticed() {
    let scenario = Scenario { cut: false, ..scenario(&[(0, "a b")], 0, 1) };
    is_noticed(Mutation::ReusesAttempts, scenario, &["is confirmed, but the backend has None"]);
}

#[test]
fn one_session_and_a_foreign_event() {
    holds(scenario(&[(0, "a a")], 1, 2));
}

#[test]
fn a_unit_of_synced_and_client_only_events() {
    holds(scenario(&[(0, "aA B ab")], 1, 1));
}

#[test]
fn a_commit_that_the_backend_refuses() {
    holds(scenario(&[(0, "x a")], 1, 2));
}

#[test]
fn a_refused_unit_of_two_among_commits_of_another_session() {
    holds(scenario(&[(0, "xA"), (0, "ab")], 0, 1));
}

#[test]
fn two_sessions_of_one_client() {
    holds(scenario(&[(0, "a A"), (0, "a a")], 1, 2));
}

#[test]
fn two_clients() {
    holds(scenario(&[(0, "a b"), (1, "a")], 0, 2));
}

#[test]
fn two_clients_of_two_sessions() {
    holds(scenario(&[(0, "a"), (0, "A"), (1, "ab"), (1, "a")], 0, 2));
}

#[test]
fn two_clients_with_refused_commits() {
    holds(scenario(&[(0, "a x A"), (1, "xA a")], 1, 3));
}

#[test]
fn a_backend_that_is_restored() {
    holds(Scenario { restores: 1, ..scenario(&[(0, "a A b")], 1, 1) });
}

#[test]
fn two_clients_of_a_backend_that_is_restored() {
    holds(Scenario { restores: 1, ..scenario(&[(0, "a b"), (1, "c A")], 1, 2) });
}

/// A session does not believe a leader that settles what it never sent, and starts again from its state.
#[test]
fn payloads_that_settle_more_than_they_bring() {
    let scenario = scenario(&[(0, "a A"), (0, "b")], 1, 1);
    holds(Scenario { mutation: Mutation::SettlesTooMuch, ..scenario });
}
