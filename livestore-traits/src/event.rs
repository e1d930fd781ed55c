//! Events: as a backend orders them, and as a client's log stores them.

use serde::{Deserialize, Serialize};

use crate::{Args, ClientId, EventName, GlobalSeq, Position, SeqNum, SessionId};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// Whether an event is shared with other clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// Ordered by the backend and delivered to every client.
    Synced,
    /// Delivered to the sessions of its own client, stored in its log, never sent to the backend.
    ClientOnly,
}

/// Which commit of its session an event belongs to. With the session id this is the identity of an event, whatever
/// number it has at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommitRef {
    /// The commits of a session count 1, 2, 3 … without gaps.
    pub n: u64,
    /// The place of the event among those of its commit, from 0.
    pub index: u32,
}

/// An event as the backend orders it and as it travels between client and backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncedEvent {
    /// Its number; proposed by the client, accepted or refused by the backend, never changed by it.
    pub seq: GlobalSeq,
    /// The number of the event before it.
    pub parent: GlobalSeq,
    /// Its name.
    pub name: EventName,
    /// Its args.
    pub args: Args,
    /// The client that committed it.
    pub client_id: ClientId,
    /// The session that committed it.
    pub session_id: SessionId,
    /// Which commit of that session it belongs to; absent where the wire cannot carry it.
    pub commit: Option<CommitRef>,
    /// Whether it is the last synced event of its unit. Where the wire cannot carry units every event is one.
    pub unit_end: bool,
    /// When the backend accepted it; absent on the way to the backend.
    pub created_at: Option<UnixMillis>,
}

impl SyncedEvent {
    /// An upper bound for the bytes of this event as LiveStore's JSON, the largest of the encodings.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        encoded_len(&self.name, &self.args, &self.client_id, &self.session_id)
    }

    /// Whether `other` is the same event: number, name, client, session, args as JavaScript reads them, and the commit
    /// where both sides know it. Times and unit ends do not count.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.seq == other.seq && self.has_same_content(other)
    }

    /// As [`Self::is_same`], but the number does not count.
    #[must_use]
    pub fn has_same_content(&self, other: &Self) -> bool {
        self.name == other.name
            && self.client_id == other.client_id
            && self.session_id == other.session_id
            && self.commit.zip(other.commit).is_none_or(|(a, b)| a == b)
            && self.args.js_eq(&other.args)
    }
}

/// An event as a client's log stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its full number in this log.
    pub num: SeqNum,
    /// Its name.
    pub name: EventName,
    /// Its args.
    pub args: Args,
    /// The client that committed it.
    pub client_id: ClientId,
    /// The session that committed it.
    pub session_id: SessionId,
    /// Which commit of that session it belongs to; absent where it came over a wire that cannot carry it.
    pub commit: Option<CommitRef>,
    /// Whether it is the last event of its unit.
    pub unit_end: bool,
    /// Whether it was committed by a session of this client, rather than pulled.
    pub is_own: bool,
}

impl Event {
    /// Synced or client-only, which its number tells.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        if self.num.is_synced() { EventKind::Synced } else { EventKind::ClientOnly }
    }

    /// The place of the event it follows: for a synced event the synced one before it, for a client-only event
    /// whatever stands before it. The root has itself.
    #[must_use]
    pub const fn parent(&self) -> Position {
        match (self.num.global.0, self.num.client) {
            (global, 0) => Position::synced(GlobalSeq(global.saturating_sub(1))),
            (_, client) => Position { global: self.num.global, client: client - 1 },
        }
    }

    /// As [`SyncedEvent::encoded_len`].
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        encoded_len(&self.name, &self.args, &self.client_id, &self.session_id)
    }

    /// The identity of an own event: its session, commit and place in it.
    #[must_use]
    pub fn identity(&self) -> Option<(&SessionId, CommitRef)> {
        if self.is_own { self.commit.map(|commit| (&self.session_id, commit)) } else { None }
    }
}

/// JSON escapes at most double a name or id, since they have no control characters; 200 covers keys, numbers, braces
/// and the metadata around an event in LiveStore's frames.
fn encoded_len(name: &EventName, args: &Args, client_id: &ClientId, session_id: &SessionId) -> usize {
    200 + args.len() + 2 * (name.as_str().len() + client_id.as_str().len() + session_id.as_str().len())
}
