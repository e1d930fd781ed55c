//! Random scripts: clients of several stores and sessions commit, crash, hand over and are cut off; then faults end.
//!
//! `LIVESTORE_SESSIONS=10000` plays so many scripts, `LIVESTORE_SESSIONS_SEED=7` begins with that seed. What a seed draws
//! is the same each time; how threads interleave is not, so a failure may take several runs to come again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;

use crate::chance::Chance;
use crate::verdict::check;
use crate::world::World;

/// How many are played if nothing else is said.
const SCRIPTS: u64 = 240;

/// Scripts that are played at once: most of the time of each is waiting.
const AT_ONCE: usize = 8;

/// Longer than any script takes, on a busy machine too.
const SCRIPT_LIMIT: Duration = Duration::from_secs(120);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

async fn play(mut world: World, steps: usize) {
    for _ in 0..steps {
        world.step().await;
    }
    world.heal().await;
    world.sync().await;
    check(&mut world).await;
}

/// Plays one script; the error tells what was done.
async fn run(seed: u64) -> Result<(), String> {
    let steps = 20 + Chance::new(!seed).of(40);
    let told = Arc::new(Mutex::new(Vec::new()));
    let played = tokio::spawn(play(World::new(seed, told.clone()), steps));
    let failure = match tokio::time::timeout(SCRIPT_LIMIT, played).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(panic)) => panic.to_string(),
        Err(_) => "it hangs".to_owned(),
    };
    let told = told.lock().unwrap().join("\n  ");
    Err(format!("seed {seed}: {failure}\n  {told}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_sessions_do_they_converge_and_nothing_is_lost_or_repeated() {
    let first = number("LIVESTORE_SESSIONS_SEED").unwrap_or(0);
    let count = number("LIVESTORE_SESSIONS").unwrap_or(SCRIPTS);
    let mut scripts = futures::stream::iter(first..first + count).map(run).buffer_unordered(AT_ONCE);
    let mut failures = Vec::new();
    while let Some(outcome) = scripts.next().await {
        failures.extend(outcome.err());
    }
    assert!(failures.is_empty(), "{} of {count} scripts failed:\n{}", failures.len(), failures.join("\n"));
}
