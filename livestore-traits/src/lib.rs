//! The vocabulary and the contracts of livestore. No I/O, no runtime, no clock.
//!
//! Every other crate of the workspace depends on this one and, where it can, on nothing else of it: a backend, an
//! adapter or a transport needs only the types and the one trait it implements.
//!
//! | role | trait | shape |
//! | --- | --- | --- |
//! | the client's durable log | [`Eventlog`] | blocking |
//! | state derived from the log | [`Materializer`] | blocking |
//! | the one total order, or a way to it | [`SyncBackend`] | async |
//! | who may write the log | [`LeaderElection`] | async |
//! | a session's way to its leader | [`LeaderLink`] | async |
//! | where processes find the one that leads | [`Rendezvous`] | async |
//!
//! Numbers print in the notation used throughout: `e3` is the third synced event, `e3.1` the first client-only event
//! after it, `e3r2` the version of `e3` written in rebase generation 2.

mod args;
mod cursor;
mod error;
mod event;
mod eventlog;
mod ids;
mod leader;
mod leader_status;
mod limits;
mod link;
mod materializer;
mod process;
mod provider;
mod rendezvous;
mod seq;
mod sync_backend;
mod typed;

pub use args::{Args, ArgsError};
pub use cursor::{Cursor, PageInfo, Pull, PullMode, PullPage};
pub use error::{BoxError, Recovery};
pub use event::{CommitRef, Event, EventKind, SyncedEvent, UnixMillis};
pub use eventlog::{
    ArchiveInfo, Eventlog, EventlogError, EventlogReader, GoneCommit, GoneReason, Heads, Identity, LogCommit,
    LogCommitKind, SessionRecord, UpstreamMark,
};
pub use ids::{BackendId, ClientId, ClientSecret, EventName, InvalidId, SessionId, StoreId};
pub use leader::{LeaderElection, LeaderError, Leadership, LostLeadership};
pub use leader_status::{AttachedSession, LeaderStatus, SyncActivity};
pub use limits::{Limits, ReadLimit};
pub use link::{
    Attach, Attached, Attachment, Held, LeaderItem, LeaderLink, LeaderReport, LinkError, SessionMessage,
    SessionPayload, SessionPush, SessionSender, SessionSnapshot,
};
pub use materializer::{
    Applied, EventContext, MaterializeBatch, MaterializeError, Materializer, MaterializerSource, OnFailure,
    Quarantined, Snapshot, UnknownEvent,
};
pub use process::{this_process, this_program};
pub use provider::{BackendProvider, ProviderError};
pub use rendezvous::{OpenRendezvous, Rendezvous};
pub use seq::{GlobalSeq, ParseSeqError, Position, RebaseGeneration, SeqNum, Term};
pub use sync_backend::{
    Capabilities, ConnectionStatus, Durability, PullError, Push, PushAck, PushError, RejectCode, Rejection,
    SyncBackend,
};
pub use typed::{EventSet, EventSetBuilder, EventSetError, NewEvent, TypedEvent};

/// A boxed stream that owns what it needs, as all streams of the contracts are.
pub use futures_core::stream::BoxStream;
