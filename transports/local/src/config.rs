//! What both sides are told, and the bounds of their connections.

use std::sync::Arc;
use std::time::Duration;

use livestore_traits::{StoreId, this_process};

/// What every message of a leader or a session fits in, in bytes: up to 4 MiB of args, one event more as the usual limits
/// allow it, and what stands beside args. Where an item did not fit, its session would attach and lose the connection again
/// and again.
pub const LEAST_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// How a [`LocalRendezvous`](crate::LocalRendezvous) behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LocalConfig {
    /// The store. A leader of another one refuses.
    pub store_id: StoreId,
    /// Which program and process this is, for people; for example `todo (process 12)`, which is the default.
    pub label: Arc<str>,
    /// Names the definitions of the state, for example by a hash of the tables. A leader that names others refuses to
    /// let sessions start or attach; its status can be read all the same. Not compared if one side names none.
    pub definitions: Option<Arc<str>>,
    /// Over what to be reached.
    pub medium: Medium,
    /// The largest message, in bytes. At least [`LEAST_FRAME_BYTES`], whatever is said here.
    pub max_frame_bytes: usize,
    /// The largest snapshot taken in, in bytes; it is received into memory.
    pub max_snapshot_bytes: u64,
    /// The most connections that a leader serves at once; a session uses one or two.
    pub max_connections: usize,
    /// How long the leader may be silent while something was asked of it. One that is busy says so.
    pub answer_timeout: Duration,
    /// How long a leader waits for what a new connection is for.
    pub hello_timeout: Duration,
    /// How long the other side may take nothing of what it is sent before the connection is given up.
    pub stall_timeout: Duration,
    /// How often a leader says that it is there, to those who follow its status or wait for an answer.
    pub heartbeat_interval: Duration,
    /// After how long without a heartbeat a leader is reported as silent.
    pub silence_after: Duration,
}

/// Over what a leader is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Medium {
    /// A Unix domain socket; loopback TCP where the data directory cannot hold one.
    #[default]
    Auto,
    /// Loopback TCP.
    Tcp,
}

impl LocalConfig {
    /// The defaults for a store.
    #[must_use]
    pub fn new(store_id: StoreId) -> Self {
        Self {
            store_id,
            label: this_process().into(),
            definitions: None,
            medium: Medium::Auto,
            max_frame_bytes: 64 * 1024 * 1024,
            max_snapshot_bytes: 4 * 1024 * 1024 * 1024,
            max_connections: 256,
            answer_timeout: Duration::from_secs(5),
            hello_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(1),
            silence_after: Duration::from_secs(3),
        }
    }
}
