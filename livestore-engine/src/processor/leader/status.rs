//! What the leader can tell about itself.

use livestore_traits::{BackendId, ClientId, ConnectionStatus, Limits, RebaseGeneration, SeqNum, Term};

use super::LeaderProcessor;
use super::pull::Phase;

/// A leader's status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaderStatus {
    /// Its term.
    pub term: Term,
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
    /// Attached sessions.
    pub sessions: usize,
    /// Whether the backend can be reached.
    pub connection: ConnectionStatus,
    /// What the pull is doing.
    pub activity: SyncActivity,
    /// What went wrong last, if nothing has succeeded since.
    pub last_error: Option<String>,
    /// How large events and pushes may be.
    pub limits: Limits,
}

/// What a leader's pull is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl LeaderProcessor {
    /// The status now.
    #[must_use]
    pub fn status(&self) -> LeaderStatus {
        LeaderStatus {
            term: self.term,
            client_id: self.identity.client_id.clone(),
            backend_id: self.mark.backend_id.clone(),
            local_head: self.state.local_head,
            settled_head: self.state.settled_head,
            upstream_head: self.state.upstream_head,
            generation: self.state.generation,
            rebases: self.rebases,
            pending_events: self.state.pending.len(),
            sessions: self.session_count(),
            connection: self.puller.connection,
            activity: self.activity(),
            last_error: self.last_error.clone(),
            limits: self.limits,
        }
    }

    fn activity(&self) -> SyncActivity {
        if self.puller.is_off() {
            SyncActivity::Off
        } else if self.history.is_some() {
            SyncActivity::Comparing
        } else if self.puller.is_caught_up() {
            SyncActivity::CaughtUp
        } else if matches!(self.puller.phase, Phase::Waiting { .. }) {
            SyncActivity::Waiting
        } else {
            SyncActivity::CatchingUp { remaining: self.puller.remaining }
        }
    }
}

/// The error and what it comes from, in one line.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
