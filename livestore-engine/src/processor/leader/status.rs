//! What the leader can tell about itself.

use livestore_traits::{Held, LeaderStatus, SessionId, SessionRecord, SyncActivity};

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

    /// What a copy of the state, made now, holds of a session, of which the log has this record.
    #[must_use]
    pub fn held(&self, session_id: &SessionId, record: Option<&SessionRecord>) -> Held {
        let ends = self.state.pending.iter().filter(|event| event.unit_end);
        let own = ends.filter_map(|event| {
            event.identity().filter(|(id, _)| *id == session_id).map(|(_, commit)| (commit.n, event.num))
        });
        Held {
            persisted: record.map_or(0, |record| record.persisted),
            settled: self.state.settled_head,
            unsettled: own.collect(),
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
