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

use livestore_traits::{Attach, Attached, LeaderStatus, LinkError, SeqNum, SessionId, StoreId};
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
        persisted: u64,
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
