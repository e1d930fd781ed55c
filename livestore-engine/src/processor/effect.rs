//! What the leader's processor wants done.

use livestore_traits::{Attached, Event, LeaderItem, LogCommit, Position, Pull, Push, SeqNum, UnknownEvent};

use super::input::{AttemptId, LinkId, PullId};

/// Something to be done. Effects are performed strictly in the order they come; if one of the storage effects fails,
/// the leader stops and none after it is performed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Commit to the eventlog, durably.
    CommitLog(LogCommit),
    /// Apply to the state; feed [`Input::Applied`](super::Input::Applied) back.
    Materialize {
        /// The version that the state is at.
        base: SeqNum,
        /// Undo back to here first.
        rollback_to: Option<SeqNum>,
        /// Then apply these.
        events: Vec<Event>,
        /// Forget undo data up to here.
        settled: Position,
    },
    /// Read the log: `common(version)` and events after it, a few hundred; feed
    /// [`Input::LogRead`](super::Input::LogRead) back.
    ReadLog {
        /// Why.
        purpose: ReadPurpose,
        /// From where.
        version: SeqNum,
    },
    /// Answer an attaching session.
    Attached(LinkId, Attached),
    /// Send an item to a session.
    Publish(LinkId, LeaderItem),
    /// End an attachment.
    CloseLink(LinkId),
    /// Begin a pull; any other one is to be dropped.
    StartPull(PullId, Pull),
    /// Drop the pull that runs.
    StopPull,
    /// Push to the backend.
    Push(AttemptId, Push),
    /// Make a new client id with its secret; feed [`Input::Identity`](super::Input::Identity) back.
    NewIdentity,
    /// Tell the application of events that it does not know.
    ReportUnknown(Vec<UnknownEvent>),
    /// Tell the application that the backend has own events with other args.
    ReportAdopted(Vec<SeqNum>),
    /// Stop the store.
    Stop(StopReason),
}

/// Why the log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPurpose {
    /// To serve a session.
    Serve {
        /// The session's attachment.
        link: LinkId,
        /// Its stream.
        stream: u64,
    },
    /// To compare confirmed events with another history.
    Compare,
    /// To find what is kept and what is archived of the events after the last shared one.
    Sort,
    /// To push confirmed events again.
    Reseed,
}

/// Why a store stops by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// The backend is another one than before, and the policy is to stop.
    #[error("the backend's history is not the one this client knows: {0}")]
    Diverged(String),
}
