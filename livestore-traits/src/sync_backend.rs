//! The authority over a store's total order, or a way to it.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{
    BackendId, BoxError, ClientSecret, Cursor, GlobalSeq, Limits, Pull, PullPage, Recovery, SyncedEvent,
    UnixMillis,
};

/// Orders and distributes the synced events of one store.
///
/// A transport client is a `SyncBackend` too, and a transport server takes one, so every backend works over every
/// transport.
///
/// # Contract
/// - **Admission is one critical section.** A batch is accepted only if it is not empty, within the limits, one
///   unbroken chain (`seq` is the parent plus one, each parent the event before), and its parent is the head.
///   It is stored whole or not at all.
/// - **Never renumbers.** Clients assign numbers, the backend arbitrates.
/// - **Idempotent.** A batch whose every event already stands at its own number with the same content
///   ([`SyncedEvent::is_same`]) is acknowledged again, wherever the head is, so a lost answer blocks nobody.
/// - **Durable before acknowledged, durable before visible**, to the degree that [`Capabilities::durability`] names.
///   No pull shows an event that could be taken back.
/// - **A dropped future tears nothing apart**: the push happened whole or not at all.
/// - **Pulls are tails.** The pages of one pull are strictly ascending, without gap or repeat; catch-up first, then,
///   with [`PullMode::Live`](crate::PullMode::Live), what is accepted later, including the reader's own pushes. The
///   first page comes at once, even if it is empty.
/// - **Cursors name a history.** A pull whose cursor is beyond the head, whose token this history does not know, or whose
///   backend id is another one ends with [`PullError::Diverged`], as does a push of another backend id with
///   [`PushError::Diverged`].
/// - **Client ids have owners.** The first push of a client id with a proof binds it; a later one with another proof is
///   [`PushError::ClientIdTaken`]. Pushes without a proof are not refused for it.
#[async_trait]
pub trait SyncBackend: Debug + Send + Sync + 'static {
    /// What this backend can do. A way to a remote backend answers with its own bounds until it has connected.
    fn capabilities(&self) -> Capabilities;

    /// Appends the events of `push`.
    ///
    /// # Errors
    /// As [`PushError`] says of each; [`PushError::recovery`] tells what to do.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the outcome unknown, as [`PushError::Unacknowledged`] does.
    async fn push(&self, push: Push) -> Result<PushAck, PushError>;

    /// Streams pages of events after the cursor. After an error the stream ends.
    ///
    /// # Cancel safety
    /// Dropping the stream ends the pull; nothing else happens.
    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>>;

    /// Whether the backend can be reached: the present status first, then each change. Never ends while the backend
    /// lives. A backend in the same process is always connected.
    fn connection(&self) -> BoxStream<'static, ConnectionStatus>;
}

/// What a backend offers, as data. Wrappers lower it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether [`PullMode::Live`](crate::PullMode::Live) follows what is accepted later; without it, the engine polls.
    pub live_pull: bool,
    /// Whether pages say how much is still to come.
    pub page_info: bool,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// How large events, pushes and pages may be.
    pub limits: Limits,
}

impl Capabilities {
    /// A backend with live pulls and page info, the default limits, and this durability.
    #[must_use]
    pub const fn new(durability: Durability) -> Self {
        Self { live_pull: true, page_info: true, durability, limits: Limits::DEFAULT }
    }
}

/// What survives once a push is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Durability {
    /// Nothing survives the process.
    Memory,
    /// Survives a crash of the process, not of the machine.
    Process,
    /// Synced to the disk: survives a power cut.
    Disk,
}

/// A batch of events that a client wants appended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Push {
    /// The incarnation the client believes it talks to; `None` before its first pull.
    pub backend_id: Option<BackendId>,
    /// The event that the first one follows.
    pub parent: GlobalSeq,
    /// Proves the ownership of the events' client id.
    pub proof: Option<ClientSecret>,
    /// One unbroken chain, cut at unit ends only.
    pub events: Vec<SyncedEvent>,
}

impl Push {
    /// A push of `events` after `parent`.
    #[must_use]
    pub const fn new(
        backend_id: Option<BackendId>,
        parent: GlobalSeq,
        proof: Option<ClientSecret>,
        events: Vec<SyncedEvent>,
    ) -> Self {
        Self { backend_id, parent, proof, events }
    }

    /// Why the events are not one chain on `parent`, if they are not: the one check of it, for backends to share.
    ///
    /// # Errors
    /// A sentence that names the first event out of place.
    pub fn check_chain(&self) -> Result<(), String> {
        let mut parent = self.parent;
        for event in &self.events {
            if event.parent != parent || Some(event.seq.0) != parent.0.checked_add(1) {
                return Err(format!("{} with parent {} does not follow {parent}", event.seq, event.parent));
            }
            parent = event.seq;
        }
        if self.events.last().is_some_and(|event| !event.unit_end) {
            return Err(format!("the batch ends at {parent} inside a unit"));
        }
        Ok(())
    }

    /// Which bound the batch breaks, if it does: the one check of it, for backends to share.
    ///
    /// # Errors
    /// [`PushError::TooLarge`] for the batch, [`PushError::Rejected`] for one event that is too large for any batch.
    pub fn check_limits(&self, limits: &Limits) -> Result<(), PushError> {
        let mut bytes = 0;
        for (index, event) in self.events.iter().enumerate() {
            let len = event.encoded_len();
            if len > limits.max_event_bytes {
                return Err(PushError::Rejected(Rejection {
                    index,
                    code: RejectCode::TooLarge,
                    message: format!("the event has {len} bytes, {} are allowed", limits.max_event_bytes),
                }));
            }
            bytes += len;
        }
        if self.events.len() > limits.max_batch_events || bytes > limits.max_batch_bytes {
            return Err(PushError::TooLarge { limits: *limits });
        }
        Ok(())
    }
}

/// A batch was accepted, or stood there already.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushAck {
    /// The incarnation that accepted it.
    pub backend_id: BackendId,
    /// A cursor at the last event of the batch.
    pub cursor: Cursor,
    /// When the batch was accepted.
    pub created_at: UnixMillis,
}

impl PushAck {
    /// An acknowledgement up to `cursor`.
    #[must_use]
    pub const fn new(backend_id: BackendId, cursor: Cursor, created_at: UnixMillis) -> Self {
        Self { backend_id, cursor, created_at }
    }
}

/// One event of a batch is refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The event, counted from 0 in the batch.
    pub index: usize,
    /// Why, for programs.
    pub code: RejectCode,
    /// Why, for people.
    pub message: String,
}

/// Why an event is refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RejectCode {
    /// The event alone is larger than the backend delivers.
    TooLarge,
    /// The client may not write this.
    Forbidden,
    /// A rule of the backend's operator, by a name of its own.
    Policy(String),
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("too large"),
            Self::Forbidden => f.write_str("forbidden"),
            Self::Policy(name) => f.write_str(name),
        }
    }
}

/// Whether a backend can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConnectionStatus {
    /// Not connected and not trying, or not yet.
    Offline,
    /// Trying, or waiting to try again.
    Connecting,
    /// The last thing heard of it was an answer.
    Connected,
}

/// Why a push was not acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The head moved. Pull, rebase, then push the rebased events.
    #[error("upstream is ahead: its head is {head}")]
    UpstreamAhead {
        /// The backend's head.
        head: GlobalSeq,
        /// What the client lacks, from the parent of its push on, if the backend sends it along (up to a page).
        missing: Option<Box<PullPage>>,
    },
    /// The backend's history is not the one the client knows.
    #[error("the backend is another one than before: {0}")]
    Diverged(String),
    /// Another client owns this client id.
    #[error("the client id belongs to another client")]
    ClientIdTaken,
    /// One event is refused for good.
    #[error("event {} of the batch was rejected ({}): {}", .0.index, .0.code, .0.message)]
    Rejected(Rejection),
    /// The batch is larger than the backend takes; cut it smaller.
    #[error("the batch is too large: at most {} events and {} bytes are allowed", limits.max_batch_events, limits.max_batch_bytes)]
    TooLarge {
        /// What the backend allows.
        limits: Limits,
    },
    /// The batch is not a valid chain; a correct client never sends such a one.
    #[error("invalid batch: {0}")]
    Invalid(String),
    /// Credentials are missing or refused.
    #[error("not authorized: {0}")]
    Unauthorized(String),
    /// The backend has too much to do; nothing was stored. Try again after a backoff.
    #[error("the backend is busy: {0}")]
    Busy(String),
    /// Nothing was sent. Retry after a backoff.
    #[error("upstream is unreachable")]
    Offline(#[source] BoxError),
    /// The batch was sent and no answer came: it may be stored. Pull before pushing again.
    #[error("the push was not acknowledged")]
    Unacknowledged(#[source] BoxError),
    /// The backend itself failed.
    #[error("the {backend} backend failed")]
    Backend {
        /// Which implementation.
        backend: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl PushError {
    /// What a caller should do next.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::UpstreamAhead { .. } | Self::TooLarge { .. } => Recovery::Rebase,
            Self::Diverged(_) => Recovery::Diverged,
            Self::ClientIdTaken => Recovery::NewClientId,
            Self::Rejected(_) => Recovery::Drop,
            Self::Unauthorized(_) => Recovery::Unauthorized,
            Self::Offline(_) | Self::Busy(_) => Recovery::Backoff,
            // A failing backend may have stored the batch before it failed.
            Self::Unacknowledged(_) | Self::Backend { .. } => Recovery::PullThenRetry,
            Self::Invalid(_) => Recovery::Fatal,
        }
    }
}

/// Why a pull ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The backend's history is not the one the cursor belongs to.
    #[error("the backend is another one than before: {0}")]
    Diverged(String),
    /// History before `first` is gone; a snapshot is needed.
    #[error("events before {first} are no longer kept")]
    Trimmed {
        /// The first event that is still there.
        first: GlobalSeq,
    },
    /// The request makes no sense; a correct client never sends such a one.
    #[error("invalid pull: {0}")]
    Invalid(String),
    /// Credentials are missing or refused.
    #[error("not authorized: {0}")]
    Unauthorized(String),
    /// The backend could not be reached, the connection broke, or the backend has too much to do. Pull again.
    #[error("upstream is unreachable")]
    Offline(#[source] BoxError),
    /// The backend itself failed.
    #[error("the {backend} backend failed")]
    Backend {
        /// Which implementation.
        backend: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl PullError {
    /// What a caller should do next.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::Diverged(_) => Recovery::Diverged,
            Self::Unauthorized(_) => Recovery::Unauthorized,
            Self::Offline(_) | Self::Backend { .. } => Recovery::Backoff,
            Self::Trimmed { .. } | Self::Invalid(_) => Recovery::Fatal,
        }
    }
}

macro_rules! forward_sync_backend {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: SyncBackend + ?Sized> SyncBackend for $pointer<T> {
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }
            async fn push(&self, push: Push) -> Result<PushAck, PushError> {
                (**self).push(push).await
            }
            fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
                (**self).pull(pull)
            }
            fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
                (**self).connection()
            }
        }
    };
}

forward_sync_backend!(Box);
forward_sync_backend!(Arc);
