//! A bounded turn for clients whose pushes others beat again and again.
//!
//! A push is accepted only at the head. Between the moment a client learns of a head and the moment its push arrives, a
//! round trip passes, and one event of anybody who is nearer refuses it: far away, a busy store never takes anything. So
//! a client that was refused several times in a row gets a turn: pushes of others wait, and are refused no sooner, until
//! a push of its own got through, or failed for another reason, or for at most twice its round trip. As much time as a
//! turn took belongs to everybody before there is another one.
//!
//! ```text
//!  client      refused  refused  refused ◀──────── turn ────────▶ accepted
//!  others   …  a  a  a  a  a  a  a  a     (their pushes wait)        a  a  a  a
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use livestore_traits::{
    BoxStream, Capabilities, ClientId, ConnectionStatus, Pull, PullError, PullPage, Push, PushAck, PushError,
    SyncBackend,
};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A client that was refused so often in a row gets a turn.
const REFUSALS: u32 = 3;
/// The longest turn. A client that takes longer from a refusal to its next push gets none: it would come too late.
const LONGEST_TURN: Duration = Duration::from_secs(1);
const SHORTEST_TURN: Duration = Duration::from_millis(20);
/// Of how many clients refusals are remembered.
const MAX_CLIENTS: usize = 1024;

/// A backend of one store with turns.
#[derive(Debug)]
pub(crate) struct Turns {
    inner: Arc<dyn SyncBackend>,
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug)]
struct State {
    refused: HashMap<ClientId, Refused>,
    turn: Option<Turn>,
    /// No turn begins before.
    rest_until: Instant,
}

#[derive(Debug)]
struct Refused {
    in_a_row: u32,
    at: Instant,
    /// The time from the last refusal to the push after it.
    round_trip: Duration,
}

#[derive(Debug)]
struct Turn {
    client: ClientId,
    began: Instant,
    until: Instant,
}

impl Turns {
    pub(crate) fn over(inner: Arc<dyn SyncBackend>) -> Self {
        let state = State { refused: HashMap::new(), turn: None, rest_until: Instant::now() };
        Self { inner, state: Mutex::new(state), ended: Notify::new() }
    }

    /// Waits while it is somebody else's turn.
    async fn wait(&self, client: &ClientId) {
        loop {
            // Made before looking, so that an end in between is not missed.
            let ended = self.ended.notified();
            let Some(until) = self.state().others_turn(client) else { return };
            let _ = timeout_at(until, ended).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Until when it is the turn of somebody other than `client`.
    fn others_turn(&mut self, client: &ClientId) -> Option<Instant> {
        let now = Instant::now();
        if self.turn.as_ref().is_some_and(|turn| turn.until <= now) {
            self.end_turn(now);
        }
        self.turn.as_ref().filter(|turn| turn.client != *client).map(|turn| turn.until)
    }

    fn arrived(&mut self, client: &ClientId) {
        if let Some(refused) = self.refused.get_mut(client) {
            refused.round_trip = refused.at.elapsed();
        }
    }

    fn refused(&mut self, client: &ClientId) {
        let now = Instant::now();
        if self.refused.len() >= MAX_CLIENTS && !self.refused.contains_key(client) {
            // Whoever still waits is counted again.
            self.refused.clear();
        }
        let first = Refused { in_a_row: 0, at: now, round_trip: SHORTEST_TURN / 2 };
        let refused = self.refused.entry(client.clone()).or_insert(first);
        (refused.in_a_row, refused.at) = (refused.in_a_row + 1, now);
        let is_due = refused.in_a_row >= REFUSALS && refused.round_trip <= LONGEST_TURN;
        if is_due && self.turn.is_none() && now >= self.rest_until {
            let until = now + (refused.round_trip * 2).clamp(SHORTEST_TURN, LONGEST_TURN);
            self.turn = Some(Turn { client: client.clone(), began: now, until });
        }
    }

    fn end_turn(&mut self, now: Instant) {
        if let Some(turn) = self.turn.take() {
            // One that ran out may be noticed much later: at the next push.
            let ended = now.min(turn.until);
            self.rest_until = ended + (ended - turn.began);
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for Turns {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let Some(client) = push.events.first().map(|event| event.client_id.clone()) else {
            return self.inner.push(push).await;
        };
        self.state().arrived(&client);
        self.wait(&client).await;
        let pushed = self.inner.push(push).await;
        let mut state = self.state();
        match &pushed {
            Err(PushError::UpstreamAhead { .. }) => state.refused(&client),
            _ => {
                state.refused.remove(&client);
                if state.turn.as_ref().is_some_and(|turn| turn.client == client) {
                    state.end_turn(Instant::now());
                    self.ended.notify_waiters();
                }
            }
        }
        pushed
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        self.inner.pull(pull)
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.inner.connection()
    }
}

#[cfg(test)]
mod tests {
    use livestore_backend_memory::MemoryBackend;
    use livestore_conformance::backend::sample_events;
    use livestore_traits::GlobalSeq;
    use tokio::time::sleep;

    use super::*;

    fn turns() -> Arc<Turns> {
        Arc::new(Turns::over(Arc::new(MemoryBackend::new())))
    }

    fn push(client: &str, parent: u64) -> Push {
        Push::new(None, GlobalSeq(parent), None, sample_events(client, GlobalSeq(parent), 1))
    }

    /// Pushes again and again at the head that was told `away` before, and is not refused for ever.
    async fn push_until_accepted(backend: &Turns, client: &str, away: Duration) {
        let (mut head, mut refused) = (0, 0);
        loop {
            sleep(away).await;
            match backend.push(push(client, head)).await {
                Ok(_) => return,
                Err(PushError::UpstreamAhead { head: now, .. }) => head = now.0,
                Err(error) => panic!("{error}"),
            }
            refused += 1;
            assert!(refused <= 2 * REFUSALS, "{client} was refused {refused} times");
        }
    }

    async fn push_for_ever(backend: Arc<Turns>) {
        loop {
            push_until_accepted(&backend, "near", Duration::from_millis(1)).await;
        }
    }

    /// Is refused as often as a turn takes, each time `away` after the time before, and does not come again.
    async fn be_refused(backend: &Turns, client: &str, away: Duration) {
        for _ in 0..REFUSALS {
            sleep(away).await;
            backend.push(push(client, 0)).await.unwrap_err();
        }
    }

    /// How long a push of `client`, which is accepted, has to wait.
    async fn wait_of(backend: &Turns, client: &str, parent: u64) -> Duration {
        let began = Instant::now();
        backend.push(push(client, parent)).await.unwrap();
        began.elapsed()
    }

    /// It was never accepted: something nearer always came first.
    #[tokio::test(start_paused = true)]
    async fn who_is_far_away_gets_a_turn() {
        let backend = turns();
        let near = tokio::spawn(push_for_ever(backend.clone()));
        for _ in 0..10 {
            push_until_accepted(&backend, "far", Duration::from_millis(200)).await;
        }
        near.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_come_is_not_waited_for_long() {
        let backend = turns();
        backend.push(push("near", 0)).await.unwrap();
        be_refused(&backend, "far", Duration::from_millis(100)).await;
        let waited = wait_of(&backend, "near", 1).await;
        assert!(waited > Duration::ZERO && waited <= LONGEST_TURN, "{waited:?}");
        // As long as the turn took, there is no other one.
        backend.push(push("far", 0)).await.unwrap_err();
        assert_eq!(wait_of(&backend, "near", 2).await, Duration::ZERO);
    }

    /// The turn counted as long as nobody pushed, and for as long again there was no other one.
    #[tokio::test(start_paused = true)]
    async fn a_turn_that_nobody_saw_run_out_ended_in_time() {
        let backend = turns();
        backend.push(push("near", 0)).await.unwrap();
        be_refused(&backend, "far", Duration::from_millis(100)).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(wait_of(&backend, "near", 1).await, Duration::ZERO);
        be_refused(&backend, "far", Duration::from_millis(100)).await;
        assert!(wait_of(&backend, "near", 2).await > Duration::ZERO, "there was no other turn");
    }

    /// Everybody waited for the longest turn, and it was over when the push came.
    #[tokio::test(start_paused = true)]
    async fn who_would_come_too_late_is_not_waited_for() {
        let backend = turns();
        backend.push(push("near", 0)).await.unwrap();
        be_refused(&backend, "far", LONGEST_TURN + Duration::from_millis(200)).await;
        assert_eq!(wait_of(&backend, "near", 1).await, Duration::ZERO);
        // One slow answer is not held against it.
        sleep(LONGEST_TURN / 2).await;
        backend.push(push("far", 0)).await.unwrap_err();
        assert!(wait_of(&backend, "near", 2).await > Duration::ZERO, "there was no turn");
    }
}
