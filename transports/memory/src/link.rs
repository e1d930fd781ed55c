//! One link: what becomes of each message on it.
//!
//! A message may be lost when it is sent, by chance or because nobody is reached, and once more when it arrives, if
//! the link was cut or fell silent while it was on its way. Each message draws its own delay, so requests overtake each
//! other; the pages of one pull are numbered and stay in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How messages travel on a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkConfig {
    /// The least time a message takes, one way.
    pub latency: Duration,
    /// Up to this much is added, drawn for each message.
    pub jitter: Duration,
    /// The probability that a message is lost. A lost page takes the rest of its pull along, as on a TCP connection.
    pub loss: f64,
    /// The probability that a push, or a page of a pull, arrives twice.
    pub duplicate: f64,
    /// The probability that a message is held back, for up to four times what messages take at most. The pages of a pull
    /// wait for each other.
    pub reorder: f64,
    /// After this long without an answer, or on a link where nothing arrives, the client gives up.
    pub timeout: Duration,
}

impl LinkConfig {
    /// A link without faults whose messages take `latency_ms` and up to `jitter_ms` more.
    #[must_use]
    pub fn with_latency(latency_ms: u64, jitter_ms: u64) -> Self {
        let (latency, jitter) = (Duration::from_millis(latency_ms), Duration::from_millis(jitter_ms));
        Self { latency, jitter, ..Self::default() }
    }
}

impl Default for LinkConfig {
    /// No latency, no faults, and a timeout of ten seconds.
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Whether messages get through at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// They do.
    Up,
    /// The two sides cannot reach each other, and know it.
    Partitioned,
    /// Half-open: nothing arrives, in either direction, and nobody is told.
    Silent,
    /// Half-open in one direction: requests arrive and take effect, nothing comes back, and nobody is told.
    AnswersLost,
}

/// What happened on a link so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Messages sent, copies not counted.
    pub sent: u64,
    /// Messages, and copies of them, that never arrived.
    pub lost: u64,
    /// Messages that were sent twice.
    pub duplicated: u64,
    /// Messages that were held back.
    pub held_back: u64,
}

/// The way of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the backend.
    Request,
    /// From the backend to the client.
    Answer,
}

/// The condition of a link, since when, and how often it was cut before: connections do not survive a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkState {
    pub(crate) condition: Condition,
    pub(crate) since: Instant,
    pub(crate) cuts: u64,
}

impl LinkState {
    pub(crate) fn carries(&self, direction: Direction) -> bool {
        match self.condition {
            Condition::Up => true,
            Condition::AnswersLost => direction == Direction::Request,
            Condition::Partitioned | Condition::Silent => false,
        }
    }

    /// Since when the client has heard nothing although it believes to be connected.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        match self.condition {
            Condition::Silent | Condition::AnswersLost => Some(self.since),
            Condition::Up | Condition::Partitioned => None,
        }
    }
}

/// The link between one client and its backend. Clones are handles of the same link.
#[derive(Clone, Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: Box<str>,
    state: Mutex<LinkState>,
    /// Tells of changes, in the order in which others began to wait: `watch` draws that order at random, and with it what
    /// comes first of what happens at one moment.
    changes: Notify,
    travel: Mutex<Travel>,
}

#[derive(Debug)]
struct Travel {
    config: LinkConfig,
    chance: fastrand::Rng,
    stats: LinkStats,
}

impl Link {
    pub(crate) fn new(name: Box<str>, config: LinkConfig, chance: fastrand::Rng) -> Self {
        let up = LinkState { condition: Condition::Up, since: Instant::now(), cuts: 0 };
        let travel = Mutex::new(Travel { config, chance, stats: LinkStats::default() });
        Self { shared: Arc::new(Shared { name, state: Mutex::new(up), changes: Notify::new(), travel }) }
    }

    /// The name of the client.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Changes how messages travel that are sent from now on.
    pub fn configure(&self, config: LinkConfig) {
        self.travel().config = config;
    }

    /// How messages travel.
    #[must_use]
    pub fn config(&self) -> LinkConfig {
        self.travel().config
    }

    /// Cuts the link: messages on their way are lost, and what waits for an answer fails at once. A request that arrived
    /// before still takes effect.
    pub fn partition(&self) {
        self.set(Condition::Partitioned);
    }

    /// Makes the link half-open: nothing arrives any more, and nobody is told.
    pub fn silence(&self) {
        self.set(Condition::Silent);
    }

    /// Makes the link half-open in one direction: requests take effect, and no answer comes.
    pub fn lose_answers(&self) {
        self.set(Condition::AnswersLost);
    }

    /// Lets messages through again. What was lost stays lost, and a pull that missed a page stays broken.
    pub fn heal(&self) {
        self.set(Condition::Up);
    }

    /// Whether messages get through.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.state().condition
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.travel().stats
    }

    /// Whether anybody but the network holds this link.
    pub(crate) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    pub(crate) fn state(&self) -> LinkState {
        // Each step under the lock leaves it whole, so a panic elsewhere does not matter.
        *self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the state is another one than `known`.
    pub(crate) async fn changed(&self, known: LinkState) {
        loop {
            // Before the look: what changes after it is told.
            let change = self.shared.changes.notified();
            if self.state() != known {
                return;
            }
            change.await;
        }
    }

    /// The delays of the copies of one message that is sent now: none if it is lost, two if it is duplicated.
    pub(crate) fn send(&self, direction: Direction) -> Vec<Duration> {
        let carries = self.state().carries(direction);
        let mut travel = self.travel();
        travel.stats.sent += 1;
        let loss = travel.config.loss;
        if !carries || travel.happens(loss) {
            travel.stats.lost += 1;
            return Vec::new();
        }
        let mut delays = vec![travel.delay()];
        let duplicate = travel.config.duplicate;
        if travel.happens(duplicate) {
            travel.stats.duplicated += 1;
            delays.push(travel.delay());
        }
        delays
    }

    /// Counts a message that did not survive its way.
    pub(crate) fn count_lost(&self) {
        self.travel().stats.lost += 1;
    }

    fn set(&self, condition: Condition) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.condition == condition {
            return;
        }
        let cuts = state.cuts + u64::from(condition == Condition::Partitioned);
        *state = LinkState { condition, since: Instant::now(), cuts };
        drop(state);
        self.shared.changes.notify_waiters();
    }

    fn travel(&self) -> MutexGuard<'_, Travel> {
        // Each step under the lock leaves it whole, so a panic elsewhere does not matter.
        self.shared.travel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Travel {
    fn happens(&mut self, probability: f64) -> bool {
        // A network without faults draws nothing, so switching one fault on does not change the others before it.
        probability > 0.0 && self.chance.f64() < probability
    }

    fn delay(&mut self) -> Duration {
        let LinkConfig { latency, jitter, reorder, .. } = self.config;
        let mut delay = latency + jitter.mul_f64(self.chance.f64());
        if self.happens(reorder) {
            self.stats.held_back += 1;
            // At least a millisecond, the grain of tokio's clock, or nothing overtakes on a link without latency.
            let longest = (latency + jitter).max(Duration::from_millis(1));
            delay += longest.mul_f64(1.0 + 3.0 * self.chance.f64());
        }
        delay
    }
}
