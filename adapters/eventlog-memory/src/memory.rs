//! The log as one map behind one lock.
//!
//! A commit is checked first and then carried out by steps that cannot fail, under the write lock, so it is atomic and
//! no reader sees a part of it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use livestore_traits::{
    ArchiveInfo, Event, Eventlog, EventlogError, EventlogReader, Heads, LogCommit, LogCommitKind, Position,
    ReadLimit, SeqNum, SessionId, SessionRecord, Term,
};

/// What is stored of one log; clones share it. Takes the place of a file.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage(Arc<RwLock<Stored>>);

impl MemoryStorage {
    /// Opens a handle on the log, beside those that are there.
    #[must_use]
    pub fn open(&self) -> MemoryEventlog {
        MemoryEventlog { storage: self.clone() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Stored> {
        // Nothing panics between two steps of a commit, so what a panicking holder left behind is whole.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Stored> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle on a log in memory; also a reader of it.
#[derive(Debug, Default)]
pub struct MemoryEventlog {
    storage: MemoryStorage,
}

impl MemoryEventlog {
    /// An empty log of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[derive(Debug, Default)]
struct Stored {
    heads: Heads,
    events: Events,
    sessions: HashMap<SessionId, SessionRecord>,
    archives: Vec<(ArchiveInfo, Events)>,
}

type Events = BTreeMap<Position, Event>;

impl Stored {
    fn contains(&self, version: SeqNum) -> bool {
        self.events.get(&version.position()).is_some_and(|event| event.num == version)
    }

    /// Takes away the events after `base`.
    fn split_after(&mut self, base: SeqNum) -> Events {
        let mut taken = self.events.split_off(&base.position());
        if let Some(event) = taken.remove(&base.position()) {
            self.events.insert(base.position(), event);
        }
        taken
    }

    fn archive(&mut self, base: SeqNum, reason: String) {
        let info = ArchiveInfo {
            id: self.archives.len() as u64 + 1,
            base,
            head: self.heads.local,
            backend_id: self.heads.upstream.backend_id.clone(),
            reason,
        };
        let taken = self.split_after(base);
        self.archives.push((info, taken));
    }
}

impl EventlogReader for MemoryEventlog {
    fn heads(&self) -> Result<Heads, EventlogError> {
        Ok(self.storage.read().heads.clone())
    }

    fn read(&self, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        Ok(page(&self.storage.read().events, after, limit))
    }

    fn common(&self, version: SeqNum) -> Result<SeqNum, EventlogError> {
        let stored = self.storage.read();
        let mut downwards = stored.events.range(..=version.position()).rev().map(|(_, event)| event.num);
        Ok(downwards.find(|num| num.generation <= version.generation).unwrap_or(SeqNum::ROOT))
    }

    fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
        Ok(self.storage.read().sessions.get(session_id).cloned())
    }

    fn archives(&self) -> Result<Vec<ArchiveInfo>, EventlogError> {
        Ok(self.storage.read().archives.iter().map(|(info, _)| info.clone()).collect())
    }

    fn read_archive(&self, id: u64, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        let stored = self.storage.read();
        let archive = stored.archives.iter().find(|(info, _)| info.id == id);
        Ok(archive.map_or_else(Vec::new, |(_, events)| page(events, after, limit)))
    }
}

impl Eventlog for MemoryEventlog {
    fn commit(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        let mut stored = self.storage.write();
        let heads = commit.check(term, &stored.heads, |version| Ok(stored.contains(version)))?;
        match commit.kind {
            LogCommitKind::Append => {}
            LogCommitKind::Rollback { to } => drop(stored.split_after(to)),
            LogCommitKind::Reset { base, reason } => stored.archive(base, reason),
        }
        stored.events.extend(commit.append.into_iter().map(|event| (event.num.position(), event)));
        for later in commit.sessions {
            let id = later.session_id.clone();
            stored.sessions.entry(id.clone()).or_insert_with(|| SessionRecord::new(id)).merge(&later);
        }
        stored.heads = heads.clone();
        Ok(heads)
    }

    fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        Ok(Box::new(self.storage.open()))
    }
}

fn page(events: &Events, after: Position, limit: ReadLimit) -> Vec<Event> {
    let mut bytes = 0;
    let mut page = Vec::new();
    for event in events.range((Excluded(after), Unbounded)).map(|(_, event)| event).take(limit.events.get()) {
        if !page.is_empty() && bytes >= limit.bytes {
            break;
        }
        bytes += event.args.len();
        page.push(event.clone());
    }
    page
}
