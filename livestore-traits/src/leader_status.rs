//! What a leader can tell about itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{BackendId, ClientId, ConnectionStatus, Limits, RebaseGeneration, SeqNum, SessionId, Term};

/// A leader's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderStatus {
    /// Which program and process leads, for people.
    pub label: Arc<str>,
    /// Its term.
    pub term: Term,
    /// Counts the changes of this status in this term.
    pub revision: u64,
    /// The client.
    pub client_id: ClientId,
    /// The backend's incarnation, if it is known.
    pub backend_id: Option<BackendId>,
    /// The last event of the log.
    pub local_head: SeqNum,
    /// The last event that can no longer roll back.
    pub settled_head: SeqNum,
    /// The last event known to stand in the backend.
    pub upstream_head: SeqNum,
    /// How often the log was rolled back, ever.
    pub generation: RebaseGeneration,
    /// How often it was rolled back by this leader.
    pub rebases: u64,
    /// Events that are not confirmed.
    pub pending_events: usize,
    /// Attached sessions, in the order they came.
    pub sessions: Arc<[AttachedSession]>,
    /// Whether the backend can be reached.
    pub connection: ConnectionStatus,
    /// What the pull is doing.
    pub activity: SyncActivity,
    /// What went wrong last, if nothing has succeeded since.
    pub last_error: Option<String>,
    /// How large events and pushes may be.
    pub limits: Limits,
}

/// A session that is attached to a leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedSession {
    /// Its id.
    pub session_id: SessionId,
    /// Which program and process it is in, for people.
    pub label: Arc<str>,
}

/// What a leader's pull is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncActivity {
    /// There is no backend, or syncing was stopped for good.
    Off,
    /// Nothing runs: waiting for the next poll or for the next try.
    Waiting,
    /// Reading what the backend has.
    CatchingUp {
        /// Events still to come, if known.
        remaining: Option<u64>,
    },
    /// Everything the backend had when it was last heard of is here.
    CaughtUp,
    /// Comparing the backend's history with ours, or pushing ours again.
    Comparing,
}
