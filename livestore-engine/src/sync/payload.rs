//! What can happen to a log.

use livestore_traits::{ClientId, Event, GlobalSeq, SeqNum, SessionId};

/// Something that happens to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// New events from below: whole units of one session, in order.
    LocalPush {
        /// The version that they build on.
        base: SeqNum,
        /// The commit of that session that must come first: the one after its last persisted.
        expected_n: u64,
        /// The events.
        events: Vec<Event>,
    },
    /// Upstream went on.
    UpstreamAdvance {
        /// The version before the events; at the leader only its position counts.
        after: SeqNum,
        /// The events. At the leader: synced ones, whose generation does not count.
        events: Vec<Event>,
        /// Session only: the leader's settled head, at most the last of the events.
        settled: Option<SeqNum>,
        /// Leader only: up to here, own pending events were pushed under the numbers they have now.
        pushed_through: GlobalSeq,
    },
    /// Session only: the leader's log rolled back, then went on.
    UpstreamRebase {
        /// The version that the session is taken to be at.
        after: SeqNum,
        /// The last version that stays.
        rollback_to: SeqNum,
        /// The events.
        events: Vec<Event>,
        /// The leader's settled head, at most the last of the events.
        settled: SeqNum,
    },
    /// Session only: the leader persisted the first pending events, as they are.
    Accepted {
        /// The base of the push.
        after: SeqNum,
        /// The number of the last event in the leader's log.
        last: SeqNum,
        /// The leader's settled head, at most `last`.
        settled: SeqNum,
    },
    /// Own pending events change, whatever upstream says.
    Amend(Amendment),
    /// Leader: a new history begins at `base`; session: a new state was taken over that ends there.
    Reset {
        /// The last event that stays.
        base: SeqNum,
        /// The events that are to follow it, to be renumbered: at a session, its pending ones. A unit may have lost
        /// events; what is left of it is a unit.
        keep: Vec<Event>,
    },
}

/// How own pending events change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amendment {
    /// Takes out all pending events of these commits, whole units.
    Drop {
        /// The session that committed them.
        session_id: SessionId,
        /// Its commits.
        commits: Vec<u64>,
    },
    /// All own pending events get another client id.
    ReplaceClientId(ClientId),
}
