//! What the leader can tell about itself.

use livestore_traits::{LeaderStatus, SyncActivity};

use super::LeaderProcessor;
use super::pull::Phase;

impl LeaderProcessor {
    /// The status now. Who publishes it counts the revisions.
    #[must_use]
    pub fn status(&self) -> LeaderStatus {
        LeaderStatus {
            label: self.config.label.clone(),
            term: self.term,
            revision: 0,
            client_id: self.identity.client_id.clone(),
            backend_id: self.mark.backend_id.clone(),
            local_head: self.state.local_head,
            settled_head: self.state.settled_head,
            upstream_head: self.state.upstream_head,
            generation: self.state.generation,
            rebases: self.rebases,
            pending_events: self.state.pending.len(),
            sessions: self.attached.clone(),
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
