//! What a merge leads to.

use livestore_traits::{Event, SeqNum};

/// What a payload led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The log went on; nothing was rolled back.
    Advance(Change),
    /// Events were rolled back, and the generation was raised.
    Rebase(Change),
    /// The payload does not fit the log as it is now, as happens without anybody's fault; nothing was changed.
    Reject(Refusal),
}

impl Outcome {
    pub(super) fn of(change: Change) -> Self {
        if change.rollback_to.is_some() { Self::Rebase(change) } else { Self::Advance(change) }
    }
}

/// What the log and the state have to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The last version that stays, if events are taken away.
    pub rollback_to: Option<SeqNum>,
    /// The events to append then, fully numbered.
    pub append: Vec<Event>,
    /// How many events at the front of pending are pending no longer, because upstream sent them or what stands behind
    /// them. They stay where they are unless something was rolled back.
    pub confirmed: usize,
    /// Where upstream has own events under the same identity with other args, which were taken over.
    pub adopted: Vec<SeqNum>,
}

/// Why a payload does not fit the log as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A push that builds on another version than the local head.
    WrongBase {
        /// The local head.
        expected: SeqNum,
    },
    /// A push that does not begin with the commit after the last persisted one.
    WrongCommit {
        /// That commit.
        expected: u64,
    },
    /// A payload that was made for another version than the session is at: it asks for the stream from its own.
    Stale {
        /// The version that the session is at.
        at: SeqNum,
    },
}

/// A peer broke the rules; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// Events do not follow each other.
    #[error("{found} does not follow {after}")]
    BrokenChain {
        /// The event before.
        after: SeqNum,
        /// The event that should have followed.
        found: SeqNum,
    },
    /// Events are missing before these.
    #[error("a gap: the log is at {head}, the events begin after {after}")]
    Gap {
        /// The upstream head.
        head: SeqNum,
        /// Where the events begin.
        after: SeqNum,
    },
    /// A rollback that would take back what is settled.
    #[error("a rollback to {rollback_to} passes the settled head {settled}")]
    BehindSettled {
        /// Where to.
        rollback_to: SeqNum,
        /// The settled head.
        settled: SeqNum,
    },
    /// An acknowledgement of more than is pending, or a new history that shares more than was confirmed.
    #[error("{claimed} is claimed, but the log only knows {known}")]
    Beyond {
        /// What the payload speaks of.
        claimed: SeqNum,
        /// What is there.
        known: SeqNum,
    },
    /// A version that stands where the log has another one.
    #[error("{version} is not a version of this log")]
    Unknown {
        /// The version.
        version: SeqNum,
    },
    /// A number that is too high to count on from.
    #[error("{num} is out of range")]
    OutOfRange {
        /// The number.
        num: SeqNum,
    },
    /// A push that holds no events, parts of units, or events of several sessions.
    #[error("malformed units: {0}")]
    Units(&'static str),
    /// A payload that only the other level takes.
    #[error("a payload of the other level")]
    WrongLevel,
}
