//! The client's durable log: the truth from which all state is derived.
//!
//! ```text
//!   root … confirmed … │ upstream head … client-only … │ settled head … pending … │ local head
//!   never rolled back ─┘                               │                          │
//!   never rolled back, not known to the backend ───────┘                          │
//!   may be rolled back and renumbered ────────────────────────────────────────────┘
//! ```

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::{
    BackendId, BoxError, ClientId, ClientSecret, Cursor, Event, Position, ReadLimit, RebaseGeneration,
    Recovery, SeqNum, SessionId, Term,
};

/// Reads a client's log.
pub trait EventlogReader: Debug + Send + 'static {
    /// The durable heads: after a crash, the only truth.
    ///
    /// # Errors
    /// [`EventlogError`] if the storage failed.
    fn heads(&self) -> Result<Heads, EventlogError>;

    /// The events after `after`, ascending, within `limit`; empty means that the local head was reached.
    ///
    /// # Errors
    /// [`EventlogError`] if the storage failed or holds what cannot be read.
    fn read(&self, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError>;

    /// The last event whose position and generation are both at most those of `version`; the root if there is none.
    ///
    /// If `version` is in the log, that is `version` itself. Otherwise it is the last event that a history which ended
    /// at `version` shares with this log, since generations never fall along a log.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn common(&self, version: SeqNum) -> Result<SeqNum, EventlogError>;

    /// What is kept of a session, if anything was ever persisted or dropped of it.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError>;

    /// The histories that were archived by [`LogCommitKind::Reset`], oldest first.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn archives(&self) -> Result<Vec<ArchiveInfo>, EventlogError>;

    /// The events of archive `id` after `after`, as they were, within `limit`.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_archive(&self, id: u64, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError>;
}

/// Writes a client's log.
///
/// # Contract
/// - **One commit is one atomic, durable step**: it rolls back, appends, and moves all heads, or nothing of it happens.
///   When `commit` returns, a power cut no longer takes it back (where the storage is durable at all).
/// - **Fencing.** A commit of an older term than any before is [`EventlogError::Fenced`], also through another handle of
///   the same storage. A new leader's first act is an empty commit with its term; only then does it read.
/// - **Nothing settled is rolled back**, except by [`LogCommitKind::Reset`], which archives what it takes away.
/// - **What sessions were told never falls**: `persisted` only grows and dropped commits stay listed, also through `Reset`.
/// - [`LogCommit::check`] is the one check of all this; implementations call it and add only storage.
/// - A commit that failed with anything but a refusal leaves the log closed: every later call fails too
///   ([`EventlogError::Closed`]), because what is on the disk is no longer known.
pub trait Eventlog: EventlogReader {
    /// Does all of `commit` or nothing, durably, and returns the new heads.
    ///
    /// # Errors
    /// [`EventlogError::Fenced`] and [`EventlogError::Refused`] change nothing. Any other error closes the log.
    fn commit(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError>;

    /// An independent reader, so that an export or a slow session never holds up commits. It sees each commit whole.
    ///
    /// # Errors
    /// [`EventlogError`] if no reader can be opened.
    fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError>;
}

/// The heads of a log and what is stored with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heads {
    /// The last event.
    pub local: SeqNum,
    /// The last event that can no longer roll back: the upstream head, or a client-only event after it.
    pub settled: SeqNum,
    /// The last event known to stand in the backend, and where to go on from there.
    pub upstream: UpstreamMark,
    /// The generation that the next appended event is stamped with.
    pub generation: RebaseGeneration,
    /// The term of the last leader that wrote.
    pub term: Term,
    /// The client's own name and the proof of it, chosen by its first leader.
    pub identity: Option<Identity>,
}

/// How far the backend's order is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamMark {
    /// The last event known to stand in the backend.
    pub head: SeqNum,
    /// Where the next pull goes on.
    pub cursor: Cursor,
    /// The incarnation of the backend that this refers to; `None` before the first contact.
    pub backend_id: Option<BackendId>,
}

/// Who a client is towards the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The client's id.
    pub client_id: ClientId,
    /// The proof that the id is its own.
    pub secret: ClientSecret,
}

/// One atomic step of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCommit {
    /// What happens to the events that are there.
    pub kind: LogCommitKind,
    /// The events to append then, an unbroken chain.
    pub append: Vec<Event>,
    /// The new settled head.
    pub settled: SeqNum,
    /// The new upstream head and cursor.
    pub upstream: UpstreamMark,
    /// The new generation; greater than the old one if anything is rolled back.
    pub generation: RebaseGeneration,
    /// What changes about sessions: `persisted` is raised, `gone` is added to what is there.
    pub sessions: Vec<SessionRecord>,
    /// A new identity, or `None` to keep the one there is.
    pub identity: Option<Identity>,
}

/// What a commit does with the events that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogCommitKind {
    /// Keeps all of them.
    Append,
    /// Takes away those after `to`, none of which is settled.
    Rollback {
        /// The last event that stays.
        to: SeqNum,
    },
    /// Starts a new history: takes away those after `base`, settled or not, into an archive of their own.
    Reset {
        /// The last event that stays.
        base: SeqNum,
        /// Why, for people; kept with the archive.
        reason: String,
    },
}

/// What a log keeps of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The session.
    pub session_id: SessionId,
    /// Its last commit that was ever in the log, whether it still is or not.
    pub persisted: u64,
    /// Its commits that were taken out of the log again.
    pub gone: Vec<GoneCommit>,
}

impl SessionRecord {
    /// Of a session nothing is known of yet.
    #[must_use]
    pub const fn new(session_id: SessionId) -> Self {
        Self { session_id, persisted: 0, gone: Vec::new() }
    }

    /// Takes in a later record of the same session: raises `persisted`, adds what is newly gone.
    pub fn merge(&mut self, later: &Self) {
        self.persisted = self.persisted.max(later.persisted);
        for gone in &later.gone {
            if !self.gone.iter().any(|known| known.n == gone.n) {
                self.gone.push(gone.clone());
            }
        }
    }
}

/// A persisted commit that is no longer in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneCommit {
    /// The commit, counted per session.
    pub n: u64,
    /// Why it is gone.
    pub reason: GoneReason,
}

/// Why a persisted commit is no longer in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GoneReason {
    /// The backend refused one of its events for good, with this explanation.
    Rejected(String),
    /// The backend was replaced or rolled back and does not have it any more; it is in the archive.
    Archived,
    /// The log that had it was lost or replaced by an older copy. Never stored: a session finds it out on attaching.
    /// The backend may have it all the same.
    Lost,
}

/// An archived history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveInfo {
    /// Counts from 1 in the order of the resets.
    pub id: u64,
    /// The last event that both histories share; the archive holds what came after it.
    pub base: SeqNum,
    /// The local head of the old history.
    pub head: SeqNum,
    /// The incarnation of the backend that the old history belonged to.
    pub backend_id: Option<BackendId>,
    /// Why it was archived, for people.
    pub reason: String,
}

/// Why a log could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventlogError {
    /// A leader with a higher term wrote the log; this one must stop.
    #[error("fenced: the log is at {current}, the commit is of {offered}")]
    Fenced {
        /// The term of the log.
        current: Term,
        /// The term of the commit.
        offered: Term,
    },
    /// The commit breaks a rule of the log; nothing was changed.
    #[error("commit refused: {0}")]
    Refused(String),
    /// Another process or handle holds the log.
    #[error("the eventlog is in use")]
    InUse,
    /// There is no room left on the device.
    #[error("no space left for the eventlog")]
    Full(#[source] BoxError),
    /// What is stored cannot be read, or belongs to another format.
    #[error("the eventlog is damaged or of another format")]
    Corrupt(#[source] BoxError),
    /// The storage failed.
    #[error("the eventlog's storage failed")]
    Storage(#[source] BoxError),
    /// An earlier failure closed the log; open it again.
    #[error("the eventlog was closed by an earlier failure")]
    Closed,
}

impl EventlogError {
    /// What a caller should do next.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        Recovery::Fatal
    }
}

impl LogCommit {
    /// A commit that changes nothing yet: the heads as they are.
    #[must_use]
    pub fn new(heads: &Heads) -> Self {
        Self {
            kind: LogCommitKind::Append,
            append: Vec::new(),
            settled: heads.settled,
            upstream: heads.upstream.clone(),
            generation: heads.generation,
            sessions: Vec::new(),
            identity: None,
        }
    }

    /// Checks the commit against the rules of [`Eventlog`] and returns the heads that it leads to.
    ///
    /// `contains` tells whether the log holds exactly this version; it is not asked about the root.
    ///
    /// # Errors
    /// [`EventlogError::Fenced`] or [`EventlogError::Refused`]; or what `contains` fails with.
    pub fn check(
        &self,
        term: Term,
        heads: &Heads,
        mut contains: impl FnMut(SeqNum) -> Result<bool, EventlogError>,
    ) -> Result<Heads, EventlogError> {
        if term < heads.term {
            return Err(EventlogError::Fenced { current: heads.term, offered: term });
        }
        let refuse = |why: String| Err(EventlogError::Refused(why));
        let is_reset = matches!(self.kind, LogCommitKind::Reset { .. });
        let base = match self.kind {
            LogCommitKind::Append => heads.local,
            LogCommitKind::Rollback { to: base } | LogCommitKind::Reset { base, .. } => {
                if base != SeqNum::ROOT && !contains(base)? {
                    return refuse(format!("{base} is not in the log"));
                }
                base
            }
        };
        if !is_reset && base.position() < heads.settled.position() {
            return refuse(format!("a rollback to {base} passes the settled head {}", heads.settled));
        }
        let takes_away = base.position() < heads.local.position();
        if self.generation < heads.generation || (takes_away && self.generation == heads.generation) {
            return refuse(format!("the generation must rise above {}", heads.generation));
        }
        let local = self.check_chain(base)?;
        let mut stands = |head: SeqNum| -> Result<bool, EventlogError> {
            if head == SeqNum::ROOT || self.append.iter().any(|event| event.num == head) {
                return Ok(true);
            }
            Ok(head.position() <= base.position() && (head == base || contains(head)?))
        };
        for (name, head, before) in
            [("settled", self.settled, heads.settled), ("upstream", self.upstream.head, heads.upstream.head)]
        {
            if !is_reset && head.position() < before.position() {
                return refuse(format!("the {name} head would fall from {before} to {head}"));
            }
            if !stands(head)? {
                return refuse(format!("the {name} head {head} is not in the log"));
            }
        }
        if self.upstream.head.position() > self.settled.position() {
            return refuse(format!("the upstream head {} is beyond the settled head", self.upstream.head));
        }
        Ok(Heads {
            local,
            settled: self.settled,
            upstream: self.upstream.clone(),
            generation: self.generation,
            term,
            identity: self.identity.clone().or_else(|| heads.identity.clone()),
        })
    }

    /// Checks that the appended events follow `base` without a gap and returns the last one's number.
    fn check_chain(&self, base: SeqNum) -> Result<SeqNum, EventlogError> {
        let mut head = base;
        for event in &self.append {
            let num = event.num;
            let expected = if num.is_synced() {
                head.next_synced(num.generation)
            } else {
                head.next_client_only(num.generation)
            };
            if num != expected {
                return Err(EventlogError::Refused(format!("{num} does not follow {head}")));
            }
            if num.generation < head.generation || num.generation > self.generation {
                return Err(EventlogError::Refused(format!("the generation of {num} is out of order")));
            }
            head = num;
        }
        Ok(head)
    }
}

macro_rules! forward_reader {
    ($pointer:ty) => {
        #[deny(clippy::missing_trait_methods)]
        impl EventlogReader for $pointer {
            fn heads(&self) -> Result<Heads, EventlogError> {
                (**self).heads()
            }
            fn read(&self, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
                (**self).read(after, limit)
            }
            fn common(&self, version: SeqNum) -> Result<SeqNum, EventlogError> {
                (**self).common(version)
            }
            fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
                (**self).session(session_id)
            }
            fn archives(&self) -> Result<Vec<ArchiveInfo>, EventlogError> {
                (**self).archives()
            }
            fn read_archive(
                &self,
                id: u64,
                after: Position,
                limit: ReadLimit,
            ) -> Result<Vec<Event>, EventlogError> {
                (**self).read_archive(id, after, limit)
            }
        }
    };
}

forward_reader!(Box<dyn EventlogReader>);
forward_reader!(Box<dyn Eventlog>);

#[deny(clippy::missing_trait_methods)]
impl Eventlog for Box<dyn Eventlog> {
    fn commit(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        (**self).commit(term, commit)
    }
    fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        (**self).reader()
    }
}
