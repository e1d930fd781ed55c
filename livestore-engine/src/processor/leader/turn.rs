//! What one turn of the leader adds up to: one commit of the log.

use std::collections::BTreeMap;

use livestore_traits::{
    Event, GoneCommit, Identity, LogCommit, LogCommitKind, SeqNum, SessionId, SessionPayload, SessionRecord,
    UpstreamMark,
};

use crate::processor::input::LinkId;
use crate::sync::{Change, SyncState};

#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    /// Set by anything that has to be committed.
    dirty: bool,
    /// Where the log rolls back to first.
    rollback_to: Option<SeqNum>,
    /// What is appended then.
    pub(super) append: Vec<Event>,
    /// What changes about sessions.
    sessions: BTreeMap<SessionId, SessionRecord>,
    identity: Option<Identity>,
    /// Why the history is reset at `rollback_to`, if it is.
    reset: Option<String>,
    /// What sessions are told once the turn is durable.
    pub(super) answers: Vec<(LinkId, SessionPayload)>,
    /// Own events whose args were taken over from the backend.
    pub(super) adopted: Vec<SeqNum>,
}

impl Turn {
    pub(super) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether events are appended or taken away.
    pub(super) const fn changes_events(&self) -> bool {
        self.rollback_to.is_some() || !self.append.is_empty()
    }

    pub(super) const fn rollback_to(&self) -> Option<SeqNum> {
        self.rollback_to
    }

    /// Something has to be committed, even if no event changes.
    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Adds a further change. What it takes away may be of this same turn.
    pub(super) fn add(&mut self, log_head: SeqNum, change: Change) {
        self.dirty = true;
        if let Some(to) = change.rollback_to {
            let stays = self.append.partition_point(|event| event.num.position() <= to.position());
            self.append.truncate(stays);
            let base = self.rollback_to.unwrap_or(log_head);
            if stays == 0 && to != base {
                self.rollback_to = Some(to);
            }
        }
        self.append.extend(change.append);
    }

    /// The session's commits are in the log up to `n`.
    pub(super) fn persisted(&mut self, session_id: &SessionId, n: u64) {
        self.session(session_id).persisted = n;
    }

    /// A commit of the session is gone from the log.
    pub(super) fn gone(&mut self, session_id: &SessionId, gone: GoneCommit) {
        self.dirty = true;
        self.session(session_id).gone.push(gone);
    }

    fn session(&mut self, session_id: &SessionId) -> &mut SessionRecord {
        self.sessions.entry(session_id.clone()).or_insert_with(|| SessionRecord::new(session_id.clone()))
    }

    pub(super) fn set_identity(&mut self, identity: Identity) {
        self.dirty = true;
        self.identity = Some(identity);
    }

    /// The change that was just added begins a new history at `base`.
    pub(super) fn reset_at(&mut self, base: SeqNum, reason: String) {
        self.rollback_to = Some(base);
        self.reset = Some(reason);
    }

    pub(super) fn into_commit(self, state: &SyncState, mark: &UpstreamMark) -> LogCommit {
        let kind = match (self.rollback_to, self.reset) {
            (Some(base), Some(reason)) => LogCommitKind::Reset { base, reason },
            (Some(to), None) => LogCommitKind::Rollback { to },
            (None, _) => LogCommitKind::Append,
        };
        LogCommit {
            kind,
            append: self.append,
            settled: state.settled_head,
            upstream: mark.clone(),
            generation: state.generation,
            sessions: self.sessions.into_values().collect(),
            identity: self.identity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{event, num};

    fn change(rollback_to: Option<&str>, append: &str) -> Change {
        let append = append.split_whitespace().map(event).collect();
        Change { rollback_to: rollback_to.map(num), append, ..Change::default() }
    }

    #[test]
    fn the_log_rolls_back_only_what_it_had_before_the_turn() {
        for (first, second, rollback_to, append) in [
            ((None, "e3 e4"), (Some("e3"), "e4r1"), None, "e3 e4r1"),
            ((None, "e3"), (Some("e2"), "e3r1"), None, "e3r1"),
            ((None, "e3"), (Some("e1"), "e2r1"), Some("e1"), "e2r1"),
            ((Some("e1"), "e2r1 e3r1"), (Some("e2r1"), "e3r2"), Some("e1"), "e2r1 e3r2"),
            ((Some("e1"), "e2r1"), (Some("e1"), "e2r2"), Some("e1"), "e2r2"),
            ((Some("e1"), "e2r1"), (Some("e0"), "e1r2"), Some("e0"), "e1r2"),
        ] {
            let mut turn = Turn::default();
            for (to, events) in [first, second] {
                turn.add(num("e2"), change(to, events));
            }
            let appended: Vec<String> = turn.append.iter().map(|event| event.num.to_string()).collect();
            assert_eq!(turn.rollback_to(), rollback_to.map(num), "{first:?}, then {second:?}");
            assert_eq!(appended.join(" "), append, "{first:?}, then {second:?}");
        }
    }
}
