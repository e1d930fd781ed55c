//! A session's way to its leader, in the same process or in another one.
//!
//! ```text
//!   session ── attach ──────────────────────▶ leader      which commits the log has of this session, which are gone
//!   session ── push (one at a time) ────────▶ leader
//!   session ◀─ items, one ordered stream ──── leader      advances, rebases, and the answers to pushes among them
//!   session ── refresh ─────────────────────▶ leader      begin the stream again at this version
//! ```

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{BoxError, ClientId, Event, GoneCommit, LeaderStatus, SeqNum, SessionId, Snapshot};

/// Connects a session with the leader of its client.
///
/// # Contract
/// - Attaching ends every older attachment of the same session id, with what is still in it.
/// - The items of an attachment are one ordered stream; an answer to a push is one of them, not a message beside it.
/// - When the leader is gone the stream ends; the session keeps its pending events and attaches again.
#[async_trait]
pub trait LeaderLink: Debug + Send + Sync + 'static {
    /// Attaches a session.
    ///
    /// # Errors
    /// [`LinkError`] if there is no leader to attach to.
    ///
    /// # Cancel safety
    /// Dropping the future may leave an attachment that nobody reads; the next attach of the session ends it.
    async fn attach(&self, attach: Attach) -> Result<Attachment, LinkError>;

    /// A copy of the leader's state for a session to start from.
    ///
    /// # Errors
    /// [`LinkError`] if there is no leader, or its state cannot be copied.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn snapshot(&self, session_id: &SessionId) -> Result<SessionSnapshot, LinkError>;

    /// Makes the leader sync now instead of waiting for the next poll or try, and returns its status then.
    ///
    /// # Errors
    /// [`LinkError`] if there is no leader.
    ///
    /// # Cancel safety
    /// Cancel safe; the leader syncs all the same.
    async fn sync_now(&self) -> Result<LeaderStatus, LinkError>;

    /// The leader's status: the present one first, then each change; states in between may be left out. Ends when the
    /// leader is gone.
    ///
    /// # Errors
    /// [`LinkError`] if there is no leader.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn reports(&self) -> Result<BoxStream<'static, LeaderReport>, LinkError>;
}

/// What is heard of a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderReport {
    /// Its status changed.
    Status(Box<LeaderStatus>),
    /// Nothing was heard of it for some seconds, though its process still holds the link: it may be stopped.
    Silent,
}

/// A state to start from, and what it holds of the session that asked.
#[derive(Debug)]
pub struct SessionSnapshot {
    /// The leader's state.
    pub snapshot: Snapshot,
    /// What it holds of the session.
    pub held: Held,
}

/// What a copy of the leader's state holds of a session's commits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The session's last commit that was ever in the leader's log when the copy was made: what the session still has
    /// pending up to it is in the copy, or gone.
    pub persisted: u64,
    /// The settled head of the copy. The commits that it holds, and that `unsettled` does not name, are settled.
    pub settled: SeqNum,
    /// The commits in the copy that may still roll back, each with the number of its last event.
    pub unsettled: Vec<(u64, SeqNum)>,
}

/// What a session says when it attaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The session.
    pub session_id: SessionId,
    /// The version of the leader's log that the session has got to, without its own pending events.
    pub cursor: SeqNum,
    /// Its last commit, counted from 1; 0 if it has none.
    pub last_n: u64,
    /// Which program and process it is in, for people.
    pub label: Arc<str>,
}

/// What the leader answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The client's id, for the session's events.
    pub client_id: ClientId,
    /// The session's last commit that was ever in the leader's log.
    pub persisted: u64,
    /// Its commits that are in the log no longer.
    pub gone: Vec<GoneCommit>,
}

/// An attached session's two directions.
pub struct Attachment {
    /// The leader's answer.
    pub attached: Attached,
    /// What the leader has to tell, in order. Ends when the leader or the attachment is gone.
    pub items: BoxStream<'static, LeaderItem>,
    /// The way to the leader.
    pub sender: Box<dyn SessionSender>,
}

impl Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("attached", &self.attached).finish_non_exhaustive()
    }
}

/// Sends messages of one attachment to the leader. Dropping it detaches.
pub trait SessionSender: Debug + Send + Sync + 'static {
    /// Sends without waiting: the protocol allows one push and one refresh at a time, which is all that ever queues.
    ///
    /// # Errors
    /// [`LinkError::Gone`] if the leader or the attachment is gone.
    fn send(&self, message: SessionMessage) -> Result<(), LinkError>;
}

/// What a session sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionMessage {
    /// Pending events for the leader's log.
    Push(SessionPush),
    /// Asks for the stream to begin again at this version of the leader's log; items under way are void.
    Refresh {
        /// The version that the session is at.
        cursor: SeqNum,
        /// Counts the refreshes of an attachment from 1; items carry it, so that older ones are told apart.
        stream: u64,
    },
    /// An item was taken in; the leader sends only so many ahead.
    Taken,
}

/// Pending events of a session, from the first one on, whole units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPush {
    /// Names this push; never used again in an attachment.
    pub attempt: u64,
    /// The version of the leader's log that the events build on.
    pub base: SeqNum,
    /// The events.
    pub events: Vec<Event>,
}

/// One item of the leader's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderItem {
    /// Which [`SessionMessage::Refresh`] it belongs to; 0 before the first.
    pub stream: u64,
    /// What happened to the log.
    pub payload: SessionPayload,
    /// Commits of this session that are newly gone from the log.
    pub gone: Vec<GoneCommit>,
    /// The client's id now.
    pub client_id: ClientId,
}

/// What happened to the leader's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionPayload {
    /// Events follow `after`; none, if only the settled head moved.
    Advance {
        /// The version before the events.
        after: SeqNum,
        /// The events.
        events: Arc<[Event]>,
        /// The leader's settled head, at most the last of the events.
        settled: SeqNum,
    },
    /// The log rolled back to `rollback_to`; then `events` follow.
    Rebase {
        /// The version that the session is taken to be at.
        after: SeqNum,
        /// The last version that stays.
        rollback_to: SeqNum,
        /// The events.
        events: Arc<[Event]>,
        /// The leader's settled head, at most the last of the events.
        settled: SeqNum,
    },
    /// The push was persisted: the events pushed stand in the log after `after` in the order pushed.
    Accepted {
        /// Which push.
        attempt: u64,
        /// The base of the push.
        after: SeqNum,
        /// The number of its last event in the leader's log; all of them carry this generation.
        last: SeqNum,
        /// The leader's settled head, at most `last`.
        settled: SeqNum,
    },
    /// The push was not taken, because it does not build on the log's head, or repeats a commit.
    Refused {
        /// Which push.
        attempt: u64,
    },
}

/// Why a leader cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The leader is gone, or there is none (yet). Attach to the next one.
    #[error("the leader is gone")]
    Gone,
    /// The leader refused, for a reason that trying again does not change.
    #[error("the leader refused: {0}")]
    Refused(String),
    /// This leader and this program do not fit together, for example because one is of a newer version. Another leader
    /// may do.
    #[error("the leader does not fit: {0}")]
    Incompatible(String),
    /// The way to the leader failed.
    #[error("the link to the leader failed")]
    Link(#[source] BoxError),
}
