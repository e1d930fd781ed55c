//! A log in memory that can be copied, so that a search can go on from one moment in several ways.

use std::collections::BTreeMap;

use livestore_traits::{
    Event, Heads, LogCommit, LogCommitKind, Position, SeqNum, SessionId, SessionRecord, Term,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) heads: Heads,
    pub(crate) events: Vec<Event>,
    pub(crate) sessions: BTreeMap<SessionId, SessionRecord>,
    pub(crate) archived: Vec<Event>,
}

impl Log {
    /// Commits as every eventlog does; the error is what it refuses.
    pub(crate) fn commit(&mut self, term: Term, commit: LogCommit) -> Result<(), String> {
        let heads = commit
            .check(term, &self.heads, |version| Ok(self.contains(version)))
            .map_err(|error| error.to_string())?;
        match commit.kind {
            LogCommitKind::Append => {}
            LogCommitKind::Rollback { to } => drop(self.split_after(to.position())),
            LogCommitKind::Reset { base, .. } => {
                let taken = self.split_after(base.position());
                self.archived.extend(taken);
            }
        }
        self.events.extend(commit.append);
        for later in commit.sessions {
            let id = later.session_id.clone();
            self.sessions.entry(id.clone()).or_insert_with(|| SessionRecord::new(id)).merge(&later);
        }
        self.heads = heads;
        Ok(())
    }

    fn split_after(&mut self, place: Position) -> Vec<Event> {
        let stays = self.events.partition_point(|event| event.num.position() <= place);
        self.events.split_off(stays)
    }

    pub(crate) fn contains(&self, version: SeqNum) -> bool {
        version == SeqNum::ROOT || self.events.iter().any(|event| event.num == version)
    }

    /// The last version that a history which ended at `version` shares with this log.
    pub(crate) fn common(&self, version: SeqNum) -> SeqNum {
        let is_shared = |event: &&Event| {
            event.num.position() <= version.position() && event.num.generation <= version.generation
        };
        self.events.iter().rev().find(is_shared).map_or(SeqNum::ROOT, |event| event.num)
    }

    pub(crate) fn after(&self, place: Position, limit: usize) -> Vec<Event> {
        self.events.iter().filter(|event| event.num.position() > place).take(limit).cloned().collect()
    }
}
