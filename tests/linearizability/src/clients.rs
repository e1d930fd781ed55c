//! Clients that work on one store at once, at random, and note what they ask and hear.

mod client;
mod follower;

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use livestore_layers::{FaultRates, Faulty};
use livestore_traits::{BoxError, Cursor, PullMode, StoreId, SyncBackend};
use tokio::sync::watch;

use crate::target::Target;
use crate::{History, Recorder};
use client::Client;
use follower::Follower;

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// How many there are.
    pub clients: usize,
    /// What each does: pushes and pulls.
    pub operations: usize,
    /// How the way to the backend fails. Repeated pages are not among it: they are no read of the log.
    pub faults: FaultRates,
    /// How often a push is dropped before its answer comes, from 0 to 1.
    pub drop_push: f64,
    /// Whether a live page that says that there is nothing after it is believed also after the first.
    pub tells_head_live: bool,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            clients: 8,
            operations: 25,
            faults: FaultRates {
                fail_push: 0.02,
                busy_push: 0.02,
                lose_answer: 0.06,
                push_twice: 0.04,
                delay_push: 0.05,
                cut_pull: 0.03,
                max_delay: Duration::from_millis(1),
                ..FaultRates::default()
            },
            drop_push: 0.08,
            tells_head_live: true,
        }
    }
}

/// Longer than anything takes: reaching it is a hang.
const LIMIT: Duration = Duration::from_secs(30);

/// Makes the history that `seed` names, as far as threads let a seed name one, in a new store of the target.
///
/// # Errors
/// If a client hears what no client may hear, or waits in vain for what was accepted.
pub async fn history(target: &Target, seed: u64, mix: &Mix) -> Result<History, BoxError> {
    let store = StoreId::new(format!("history-{seed}"))?;
    let mut ways = Vec::new();
    for _ in 0..=mix.clients {
        ways.push(target.connect(&store).await?);
    }
    let mix = Mix { tells_head_live: mix.tells_head_live && target.tells_head_live(), ..*mix };
    history_over(ways, seed, &mix).await
}

/// As [`history`], over these ways to one empty store: one for each client, and one more.
///
/// # Errors
/// As [`history`].
///
/// # Panics
/// If there is no way at all.
pub async fn history_over(
    mut ways: Vec<Arc<dyn SyncBackend>>,
    seed: u64,
    mix: &Mix,
) -> Result<History, BoxError> {
    let recorder = Recorder::default();
    let last = ways.pop().expect("a way for the last look");
    let mut clients = Vec::new();
    let mut followers = Vec::new();
    let (done, is_done) = watch::channel(None);
    for (number, way) in ways.into_iter().enumerate() {
        let faulty = Arc::new(Faulty::seeded(way, seed * 1_000 + number as u64, mix.faults));
        if number % 2 == 0 && faulty.capabilities().live_pull {
            let follower = Follower {
                client: number,
                backend: faulty.clone(),
                recorder: recorder.clone(),
                done: is_done.clone(),
                tells_head: mix.tells_head_live,
            };
            let follow = follower.follow();
            followers.push(tokio::spawn(tokio::time::timeout(LIMIT, follow)));
        }
        let client = Client::new(number, seed, faulty.clone(), recorder.clone());
        clients.push((faulty, tokio::spawn(tokio::time::timeout(LIMIT, client.run(*mix)))));
    }
    for (faulty, client) in clients {
        client.await??.map_err(BoxError::from)?;
        faulty.heal();
    }
    // Everybody has got an answer or given up, so this shows at least all that was acknowledged.
    let mut looker = Client::new(mix.clients, seed, last, recorder.clone());
    looker.pull(Cursor::start(), PullMode::Once, usize::MAX).await?;
    done.send_replace(Some(looker.head()));
    for followed in try_join_all(followers).await? {
        followed.map_err(|_| "a live pull never delivered what was accepted")??;
    }
    Ok(recorder.history())
}
