//! What is said after the greetings.
//!
//! | request | answer | then |
//! | --- | --- | --- |
//! | `Attach` | `Attached` | `SessionMessage`s one way, `LeaderItem`s the other, until either side closes |
//! | `Snapshot` | `Snapshot` | frames of the state's bytes, an empty one, and an `Outcome` |
//! | `SyncNow` | `Status` | the end |
//! | `Reports` | `Reporting` | `Report`s, until either side closes |
//!
//! `Failed` may answer each request; `Busy` comes before an answer that takes long.

use std::sync::Arc;

use livestore_traits::{Attach, Attached, Held, LeaderStatus, LinkError, SeqNum, SessionId, StoreId};
use serde::{Deserialize, Serialize};

use crate::LocalError;
use crate::error::in_words;

/// The largest request. No leader needs more to know what it is asked for.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) store_id: StoreId,
    pub(crate) definitions: Option<Arc<str>>,
    pub(crate) purpose: Purpose,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Attach(Attach),
    Snapshot(SessionId),
    SyncNow,
    Reports,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The leader is there and has not got that far.
    Busy,
    Failed(Failure),
    Attached(Attached),
    Snapshot {
        head: SeqNum,
        held: Held,
        bytes: u64,
    },
    Status(Box<LeaderStatus>),
    Reporting,
}

/// How a snapshot ended.
pub(crate) type Outcome = Result<(), String>;

/// What is heard of a leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    Status(Box<LeaderStatus>),
    /// Nothing was heard of the one behind it.
    Silent,
    /// It is there.
    Heartbeat,
}

/// A [`LinkError`] on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    Gone,
    Refused(String),
    Incompatible(String),
    Link(String),
    Crowded { max_connections: usize },
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Gone => Self::Gone,
            LinkError::Refused(why) => Self::Refused(why),
            LinkError::Incompatible(why) => Self::Incompatible(why),
            error => Self::Link(in_words(&error)),
        }
    }
}

impl From<Failure> for LinkError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Gone => Self::Gone,
            Failure::Refused(why) => Self::Refused(why),
            Failure::Incompatible(why) => Self::Incompatible(why),
            Failure::Link(why) => LocalError::Leader(why).into(),
            Failure::Crowded { max_connections } => LocalError::Crowded { max_connections }.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::{
        Args, AttachedSession, BackendId, ClientId, CommitRef, ConnectionStatus, Event, EventName, GlobalSeq,
        GoneCommit, GoneReason, LeaderItem, Limits, RebaseGeneration, SessionMessage, SessionPayload,
        SessionPush, SyncActivity, Term,
    };

    use super::*;
    use crate::PROTOCOL_VERSION;
    use crate::frame::{decode, encode};

    fn seq(global: u64, client: u32, generation: u64) -> SeqNum {
        SeqNum { global: GlobalSeq(global), client, generation: RebaseGeneration(generation) }
    }

    fn session_id() -> SessionId {
        SessionId::new("s1").unwrap()
    }

    fn event() -> Event {
        Event {
            num: seq(3, 1, 2),
            name: EventName::new("v1.Noted").unwrap(),
            args: Args::parse(r#"{"a":1}"#).unwrap(),
            client_id: ClientId::new("c1").unwrap(),
            session_id: session_id(),
            commit: Some(CommitRef { n: 7, index: 1 }),
            unit_end: true,
            is_own: true,
        }
    }

    fn status() -> Box<LeaderStatus> {
        Box::new(LeaderStatus {
            label: "todo".into(),
            revision: 7,
            term: Term(5),
            client_id: ClientId::new("c1").unwrap(),
            backend_id: Some(BackendId::new("b1").unwrap()),
            local_head: seq(3, 1, 2),
            settled_head: seq(2, 0, 1),
            upstream_head: seq(2, 0, 1),
            generation: RebaseGeneration(2),
            rebases: 1,
            pending_events: 4,
            sessions: [AttachedSession { session_id: session_id(), label: "window".into() }].into(),
            connection: ConnectionStatus::Connected,
            activity: SyncActivity::CatchingUp { remaining: Some(9) },
            last_error: Some("offline".into()),
            limits: Limits::DEFAULT,
        })
    }

    fn item(payload: SessionPayload) -> LeaderItem {
        let reason = GoneReason::Rejected("forbidden".into());
        let gone = vec![GoneCommit { n: 2, reason }];
        LeaderItem { stream: 1, payload, gone, client_id: ClientId::new("c1").unwrap() }
    }

    fn hex<T: Serialize + PartialEq + std::fmt::Debug + serde::de::DeserializeOwned>(message: T) -> String {
        let mut frame = Vec::new();
        encode(&message, &mut frame, usize::MAX).unwrap();
        assert_eq!(decode::<T>(&frame[4..]).unwrap(), message);
        frame[4..].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn request(purpose: Purpose) -> Request {
        Request { store_id: StoreId::new("todo").unwrap(), definitions: Some("d1".into()), purpose }
    }

    /// Each message as bytes, one a line.
    fn all() -> Vec<String> {
        let attach =
            Attach { session_id: session_id(), cursor: seq(3, 1, 2), last_n: 7, label: "window".into() };
        let gone = GoneCommit { n: 2, reason: GoneReason::Rejected("forbidden".into()) };
        let attached = Attached { client_id: ClientId::new("c1").unwrap(), persisted: 7, gone: vec![gone] };
        let (after, settled) = (seq(3, 0, 1), seq(2, 0, 1));
        let held = Held { persisted: 7, settled, unsettled: vec![(7, seq(3, 1, 2))] };
        let events = || Arc::from([event()]);
        vec![
            hex(request(Purpose::Attach(attach))),
            hex(request(Purpose::Snapshot(session_id()))),
            hex(request(Purpose::SyncNow)),
            hex(request(Purpose::Reports)),
            hex(Answer::Busy),
            hex(Answer::Failed(Failure::Gone)),
            hex(Answer::Failed(Failure::Refused("no".into()))),
            hex(Answer::Failed(Failure::Incompatible("no".into()))),
            hex(Answer::Failed(Failure::Link("no".into()))),
            hex(Answer::Failed(Failure::Crowded { max_connections: 300 })),
            hex(Answer::Attached(attached)),
            hex(Answer::Snapshot { head: seq(3, 1, 2), held, bytes: 300 }),
            hex(Answer::Status(status())),
            hex(Answer::Reporting),
            hex(Outcome::Ok(())),
            hex(Outcome::Err("no".into())),
            hex(Report::Status(status())),
            hex(Report::Silent),
            hex(Report::Heartbeat),
            hex(SessionMessage::Push(SessionPush { attempt: 300, base: after, events: vec![event()] })),
            hex(SessionMessage::Refresh { cursor: after, stream: 1 }),
            hex(SessionMessage::Taken),
            hex(item(SessionPayload::Advance { after, events: events(), settled })),
            hex(item(SessionPayload::Rebase { after, rollback_to: settled, events: events(), settled })),
            hex(item(SessionPayload::Accepted { attempt: 300, after, last: seq(3, 1, 2), settled })),
            hex(item(SessionPayload::Refused { attempt: 300 })),
            // Variants that the messages above don't show.
            hex(vec![GoneReason::Rejected("no".into()), GoneReason::Archived, GoneReason::Lost]),
            hex(vec![
                SyncActivity::Off,
                SyncActivity::Waiting,
                SyncActivity::CatchingUp { remaining: None },
                SyncActivity::CaughtUp,
                SyncActivity::Comparing,
            ]),
            hex(vec![ConnectionStatus::Offline, ConnectionStatus::Connecting, ConnectionStatus::Connected]),
        ]
    }

    /// If this fails, programs built before cannot talk to those built now: raise [`PROTOCOL_VERSION`] and store what is
    /// encoded now as `golden/<version>.txt`.
    #[test]
    fn the_encoding_changes_only_with_the_version() {
        let golden = include_str!("golden/1.txt");
        assert_eq!(PROTOCOL_VERSION, 1, "the golden file is of version 1");
        let encoded = all();
        for (at, (ours, golden)) in encoded.iter().zip(golden.lines()).enumerate() {
            assert_eq!(ours, golden, "line {}", at + 1);
        }
        assert_eq!(encoded.len(), golden.lines().count(), "{}", encoded.join("\n"));
    }
}
