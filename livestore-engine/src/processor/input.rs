//! What the leader's processor is told.

use livestore_traits::{
    Applied, Attach, Capabilities, ConnectionStatus, Event, Identity, PullError, PullPage, PushAck,
    PushError, SeqNum, SessionMessage, SessionRecord, Term,
};

/// Names an attachment of a session; the runtime chooses it and never uses it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names a pull; never used again by this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PullId(pub u64);

/// Names a push: never used again, also not after a restart, because terms grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The leader that made it.
    pub term: Term,
    /// Counts its pushes.
    pub count: u64,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A session attaches.
    Attach {
        /// The name of the new attachment.
        link: LinkId,
        /// What it says.
        attach: Attach,
        /// What the log has of the session, read when all effects had been performed.
        record: Option<SessionRecord>,
    },
    /// A session is gone.
    Detach(LinkId),
    /// A session says something.
    Session(LinkId, SessionMessage),
    /// The backend can do this (now).
    Capabilities(Capabilities),
    /// The connection to the backend changed.
    Connection(ConnectionStatus),
    /// A page of a pull.
    Page(PullId, PullPage),
    /// A pull ended, by an error or having caught up.
    PullEnded(PullId, Option<PullError>),
    /// The answer to a push.
    PushAnswered(AttemptId, Result<PushAck, PushError>),
    /// What [`Effect::ReadLog`](super::Effect::ReadLog) asked for.
    LogRead {
        /// Why it was read.
        purpose: super::ReadPurpose,
        /// The version that was asked for.
        version: SeqNum,
        /// The last version that the history of `version` shares with the log.
        common: SeqNum,
        /// Events after `common`.
        events: Vec<Event>,
    },
    /// What [`Effect::Materialize`](super::Effect::Materialize) did.
    Applied(Applied),
    /// What [`Effect::NewIdentity`](super::Effect::NewIdentity) asked for.
    Identity(Identity),
    /// The application asks to sync now instead of waiting for a poll or a backoff.
    SyncNow,
}
