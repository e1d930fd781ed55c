//! Damaged files of SQLite states: a leader that opens one ends with the state that a replay of its log leads to, or
//! queries say that the state is damaged. One kind of damage may lead to another state, [`Damage::KeepOldWal`]: the frames
//! of SQLite's log carry checksums of that log alone, and nothing in it names the pages that it belongs to. So an old log
//! that is whole counts as good, and its pages, which are older, take the place of later ones.

mod history;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use fastrand::Rng;
use history::{History, rows, schema};
use livestore_disk::files::Damage;
use livestore_disk::seeds;
use livestore_engine::processor::LeaderConfig;
use livestore_engine::runtime::{LeaderCore, RecoveryError};
use livestore_materializer_sqlite::SqliteStates;
use livestore_traits::{ClientId, ClientSecret, Identity, MaterializerSource, Term};

/// Histories in a plain run of the tests.
const SEEDS: u64 = 10;

/// What a leader made of a damaged state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The state of the log.
    Right,
    /// It leads, and a query of the state says that it is damaged: nothing in the log had to do with those pages.
    DamageShown,
    /// It leads with another state than that of the log, and nobody notices. A plain run hardly ever comes to this; twenty
    /// times as many histories do.
    Wrong,
}

/// Leads over the files at `path`, as a process does that begins.
fn lead(history: &History, path: &Path) -> Result<(), RecoveryError> {
    let identity =
        || Identity { client_id: ClientId::new("client").expect("a good id"), secret: ClientSecret([1; 16]) };
    let state = SqliteStates::new(path, schema()).open()?;
    let (log, config, now) = (Box::new(history.storage.open()), LeaderConfig::default(), Instant::now());
    LeaderCore::open(log, state, Term(2), config, now, true, identity, &mut |_| {}).map(drop)
}

/// What becomes of the files at `path`. The error is one that nobody should see.
fn recover(history: &History, path: &Path) -> Result<Outcome, String> {
    lead(history, path).map_err(|error| format!("{error:?}"))?;
    let state = SqliteStates::new(path, schema()).open().map_err(|error| format!("{error:?}"))?;
    match rows(&*state) {
        Ok(rows) if rows == history.replayed() => Ok(Outcome::Right),
        Ok(_) => Ok(Outcome::Wrong),
        Err(error) if error.contains("malformed") => Ok(Outcome::DamageShown),
        Err(error) => Err(error),
    }
}

#[test]
fn damage_leads_to_a_wrong_state_only_if_sqlite_cannot_notice_it() {
    let mut outcomes: BTreeMap<(Damage, Outcome), u32> = BTreeMap::new();
    for seed in 0..seeds(SEEDS) {
        let history = History::new(seed);
        let mut rng = Rng::with_seed(seed);
        for damage in Damage::ALL {
            let earlier = history.any_image(&mut rng);
            let Some(image) = damage.done_to(history.last_image(), earlier, &mut rng) else { continue };
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("state.sqlite");
            image.write(&path).unwrap();
            let outcome = recover(&history, &path);
            let outcome = outcome.unwrap_or_else(|error| panic!("seed {seed}, {damage:?}: {error}"));
            let is_right = outcome != Outcome::Wrong || damage == Damage::KeepOldWal;
            assert!(is_right, "seed {seed}, {damage:?}: the state is not the one of the log");
            *outcomes.entry((damage, outcome)).or_default() += 1;
        }
    }
    for ((damage, outcome), count) in &outcomes {
        println!("{damage:?}: {outcome:?} {count}");
    }
    if seeds(SEEDS) < SEEDS {
        // Too few for all of this to happen.
        return;
    }
    for damage in Damage::ALL {
        assert!(outcomes.keys().any(|(done, _)| *done == damage), "{damage:?} was never done");
    }
}

/// A state that is opened in good faith, and of which a replay then finds a page damaged, must not keep the store from
/// starting.
#[test]
fn damage_that_a_replay_meets_is_mended() {
    let history = History::new(1);
    history.write_everywhere();
    for seed in 0..30 {
        let (now, mut rng) = (history.last_image(), Rng::with_seed(seed));
        let image = Damage::ZeroPage.done_to(now, now, &mut rng).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.sqlite");
        image.write(&path).unwrap();
        assert_eq!(recover(&history, &path), Ok(Outcome::Right), "seed {seed}");
    }
}
