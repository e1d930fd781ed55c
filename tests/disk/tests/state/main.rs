//! Damaged files of SQLite states: a leader that opens one ends with the state that a replay of its log leads to, or with
//! a typed error, never with another state.

mod history;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use fastrand::Rng;
use history::{History, rows, schema};
use livestore_disk::files::Damage;
use livestore_engine::processor::LeaderConfig;
use livestore_engine::runtime::{LeaderCore, RecoveryError};
use livestore_materializer_sqlite::SqliteStates;
use livestore_traits::{ClientId, ClientSecret, Identity, MaterializeError, MaterializerSource, Term};

/// Histories in a run of the tests; `LIVESTORE_SEARCH` makes it more.
const SEEDS: u64 = 10;

fn seeds() -> u64 {
    std::env::var("LIVESTORE_SEARCH").map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"))
}

/// What a leader made of a damaged state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The state of the log.
    Right,
    /// An error when it began to lead, and the right state when it tried again.
    RightAfterError,
    /// It leads, and a query of the state says that it is damaged.
    DamageShown,
}

/// Leads over the files at `path`, as a process does that begins.
fn lead(history: &History, path: &Path, term: u64) -> Result<(), RecoveryError> {
    let identity =
        || Identity { client_id: ClientId::new("client").expect("a good id"), secret: ClientSecret([1; 16]) };
    let state = SqliteStates::new(path, schema()).open()?;
    let (log, config, now) = (Box::new(history.storage.open()), LeaderConfig::default(), Instant::now());
    LeaderCore::open(log, state, Term(term), config, now, true, identity, &mut |_| {}).map(drop)
}

/// What becomes of the files at `path`. The error tells how they led to something that is not in the log.
fn recover(history: &History, path: &Path) -> Result<Outcome, String> {
    let mut outcome = Outcome::Right;
    if let Err(first) = lead(history, path, 100) {
        typed(&first)?;
        lead(history, path, 101).map_err(|error| format!("after {first:?}, the next start: {error:?}"))?;
        outcome = Outcome::RightAfterError;
    }
    let state = SqliteStates::new(path, schema()).open().map_err(|error| format!("{error:?}"))?;
    match rows(&*state) {
        Ok(rows) if rows == history.replayed() => Ok(outcome),
        Ok(_) => Err("the state is not the one of the log".into()),
        Err(error) if error.contains("malformed") => Ok(Outcome::DamageShown),
        Err(error) => Err(error),
    }
}

fn typed(error: &RecoveryError) -> Result<(), String> {
    match error {
        RecoveryError::Materialize(MaterializeError::Corrupt(_)) => Ok(()),
        other => Err(format!("instead of damage: {other:?}")),
    }
}

#[test]
fn damaged_files_never_lead_to_a_wrong_state() {
    let mut outcomes: BTreeMap<(Damage, Outcome), u32> = BTreeMap::new();
    for seed in 0..seeds() {
        let history = History::new(seed);
        let mut rng = Rng::with_seed(seed);
        for damage in Damage::ALL {
            let earlier = history.any_image(&mut rng);
            let Some(image) = damage.done_to(history.last_image(), earlier, &mut rng) else { continue };
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("state.sqlite");
            image.write(&path).unwrap();
            match recover(&history, &path) {
                Ok(outcome) => *outcomes.entry((damage, outcome)).or_default() += 1,
                Err(wrong) => panic!("seed {seed}, {damage:?}: {wrong}"),
            }
        }
    }
    for ((damage, outcome), count) in &outcomes {
        println!("{damage:?}: {outcome:?} {count}");
    }
    for damage in Damage::ALL {
        assert!(outcomes.keys().any(|(done, _)| *done == damage), "{damage:?} was never done");
    }
}
