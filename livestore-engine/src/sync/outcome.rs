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
    /// How many pending events upstream confirmed.
    pub confirmed: usize,
    /// Own events that upstream has under the same identity with other args, which were taken over.
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
    /// A settled head that is beyond what is known, or an acknowledgement of more than was pushed.
    #[error("{claimed} is claimed, but the log only knows {known}")]
    Beyond {
        /// What the payload speaks of.
        claimed: SeqNum,
        /// What is there.
        known: SeqNum,
    },
    /// A push that holds no events, parts of units, or events of several sessions.
    #[error("malformed units: {0}")]
    Units(&'static str),
    /// A payload that only the other level takes.
    #[error("a payload of the other level")]
    WrongLevel,
}
