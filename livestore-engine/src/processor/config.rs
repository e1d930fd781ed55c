//! Bounds and times of the processors, each with its unit.

use std::sync::Arc;
use std::time::Duration;

use livestore_traits::Limits;

/// What to do when the backend turns out to be another one, or an older copy of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Diverged {
    /// Take over the new history from the last event that both share. What only the old one had is archived and
    /// reported; unconfirmed and client-only events are kept and follow on top.
    #[default]
    Reset,
    /// If all of the new history is the beginning of ours (an empty one is), push the rest of ours again; otherwise as
    /// [`Self::Reset`].
    Reseed,
    /// Stop the store with an error; nothing is changed.
    Shutdown,
    /// Stop syncing; the store stays usable offline.
    Ignore,
}

/// Configures a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaderConfig {
    /// Which program and process leads, for people. A store fills in its own if this is empty.
    pub label: Arc<str>,
    /// How large events and pushes may be; lowered to what the backend allows.
    pub limits: Limits,
    /// What to do when the backend is another one than before.
    pub diverged: Diverged,
    /// How often a backend without live pull is asked. Jittered.
    pub poll_interval: Duration,
    /// A live pull that was silent for so long is opened again.
    pub silence_timeout: Duration,
    /// A push that was not answered for so long counts as unacknowledged.
    pub push_timeout: Duration,
    /// How long the events behind an `UpstreamAhead` may take to arrive on a live pull before it is opened again.
    pub ahead_timeout: Duration,
    /// The wait after a first failure; it doubles with each further one. Jittered.
    pub backoff_min: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// During a catch-up, pages are gathered into merges of at least so many events …
    pub gather_events: usize,
    /// … but of no more bytes than this …
    pub gather_bytes: usize,
    /// … and for no longer than this.
    pub gather_time: Duration,
    /// How long pages wait for a session whose push was refused because pages had moved the log.
    pub fairness_time: Duration,
    /// How many recent events are kept in memory to serve sessions without reading the log.
    pub tail_events: usize,
    /// … and how many bytes of their args.
    pub tail_bytes: usize,
    /// How many items a session may lag before it is left to catch up at its own pace.
    pub items_ahead: u32,
    /// The seed of all jitter.
    pub seed: u64,
}

impl Default for LeaderConfig {
    fn default() -> Self {
        Self {
            label: "".into(),
            limits: Limits::DEFAULT,
            diverged: Diverged::Reset,
            poll_interval: Duration::from_secs(5),
            silence_timeout: Duration::from_secs(60),
            push_timeout: Duration::from_secs(30),
            ahead_timeout: Duration::from_secs(1),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            gather_events: 1000,
            gather_bytes: 16 * 1024 * 1024,
            gather_time: Duration::from_millis(50),
            fairness_time: Duration::from_millis(20),
            tail_events: 4096,
            tail_bytes: 16 * 1024 * 1024,
            items_ahead: 4,
            seed: 0,
        }
    }
}

/// Configures a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionConfig {
    /// Which program and process the session is in, for people. A store fills in its own if this is empty.
    pub label: Arc<str>,
    /// How large events and units may be.
    pub limits: Limits,
    /// How many events may be unconfirmed before `commit` refuses more.
    pub max_pending_events: usize,
    /// The most events in one push to the leader.
    pub max_push_events: usize,
    /// The most bytes of args in one push to the leader, unless a single unit has more.
    pub max_push_bytes: usize,
    /// A push that was not answered for so long makes the session attach again.
    pub push_timeout: Duration,
    /// The wait after a first failed attach; it doubles with each further one. Jittered.
    pub backoff_min: Duration,
    /// The longest wait after a failed attach.
    pub backoff_max: Duration,
    /// The seed of all jitter.
    pub seed: u64,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            label: "".into(),
            limits: Limits::DEFAULT,
            max_pending_events: 1_000_000,
            max_push_events: 1000,
            max_push_bytes: 16 * 1024 * 1024,
            push_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(5),
            backoff_max: Duration::from_secs(1),
            seed: 0,
        }
    }
}
