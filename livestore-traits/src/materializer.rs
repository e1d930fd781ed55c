//! State derived from a client's log.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{BoxError, ClientId, Event, EventName, Position, Recovery, SeqNum, SessionId};

/// Applies events to a state and can take the unsettled ones back.
///
/// # Contract
/// - **One `apply` is one transaction**: undo, apply, forget, and the new head, stored inside the state. After a crash
///   the state is as before or as after it.
/// - **Names its base.** A batch whose `base` is not [`Materializer::head`] is [`MaterializeError::WrongBase`] and changes nothing.
/// - **Deterministic.** The same events give the same state, whatever the paging and however often it was rebased.
/// - **Undo is exact**: applying events and rolling them back leaves the state as it was, at a cost that grows with what
///   the events changed, not with the state.
/// - **A failing event leaves no partial effect.** With [`OnFailure::Refuse`] the whole batch has none; with
///   [`OnFailure::Quarantine`] the event is listed in [`Materializer::quarantined`] and the rest is applied. A rollback
///   takes the entry away with the event. Disk full, I/O errors and busy are errors in either case.
/// - **Unknown events change nothing** but the head, and are reported.
/// - The state is never ahead of what was applied, and `reset` empties it, quarantine and head included.
pub trait Materializer: Debug + Send + 'static {
    /// The version of the last applied event, stored with the state it describes; the root for an empty state, and after
    /// the materializer's own definitions changed, so that the log is replayed.
    ///
    /// # Errors
    /// [`MaterializeError`] if the state cannot be read.
    fn head(&self) -> Result<SeqNum, MaterializeError>;

    /// Undoes back to `batch.rollback_to`, applies `batch.events` in order, and forgets undo data up to `batch.settled`.
    ///
    /// # Errors
    /// [`MaterializeError::WrongBase`], [`MaterializeError::NoUndo`] and [`MaterializeError::Event`] change nothing.
    fn apply(&mut self, batch: MaterializeBatch<'_>) -> Result<Applied, MaterializeError>;

    /// Empties the state; the engine then replays the log from the root.
    ///
    /// # Errors
    /// [`MaterializeError`] if the state cannot be written.
    fn reset(&mut self) -> Result<(), MaterializeError>;

    /// The events that are in the log but whose materializer failed, in order.
    ///
    /// # Errors
    /// [`MaterializeError`] if the state cannot be read.
    fn quarantined(&self) -> Result<Vec<Quarantined>, MaterializeError>;

    /// A copy of the state with its head and undo data, from which another materializer of the same definitions can go
    /// on. Consistent: it shows one moment.
    ///
    /// # Errors
    /// [`MaterializeError`] if the state cannot be read.
    fn snapshot(&self) -> Result<Snapshot, MaterializeError>;

    /// Replaces the state by a snapshot of a materializer of the same definitions.
    ///
    /// # Errors
    /// [`MaterializeError::Corrupt`] if the snapshot is truncated, damaged, or of other definitions; the old state stays.
    fn restore(&mut self, snapshot: Snapshot) -> Result<(), MaterializeError>;

    /// A new, empty materializer of the same definitions, for a session of its own.
    ///
    /// # Errors
    /// [`MaterializeError`] if there is no room for another state.
    fn fork(&self) -> Result<Box<dyn Materializer>, MaterializeError>;

    /// What queries read: a type of the implementation's own that users of it know, for example a read-only connection.
    fn view(&self) -> &dyn Any;
}

/// Makes the states of one store: the leader's, which is kept, and those of sessions, which go with them.
pub trait MaterializerSource: Debug + Send + Sync + 'static {
    /// Opens the leader's state. Called only while this process leads, so it may be a file that one process has open.
    ///
    /// # Errors
    /// [`MaterializeError`] if it cannot be used.
    fn open(&self) -> Result<Box<dyn Materializer>, MaterializeError>;

    /// An empty state of the same definitions, for a session. Called whoever leads.
    ///
    /// # Errors
    /// [`MaterializeError`] if there is no room for another state.
    fn scratch(&self) -> Result<Box<dyn Materializer>, MaterializeError>;
}

macro_rules! forward_materializer_source {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: MaterializerSource + ?Sized> MaterializerSource for $pointer<T> {
            fn open(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
                (**self).open()
            }
            fn scratch(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
                (**self).scratch()
            }
        }
    };
}

forward_materializer_source!(Box);
forward_materializer_source!(Arc);

/// One transaction of a materializer.
#[derive(Clone, Copy, Debug)]
pub struct MaterializeBatch<'a> {
    /// The version that the batch builds on; must be the state's head.
    pub base: SeqNum,
    /// The version to undo back to first. Its position decides what is undone; it becomes the head as it is given here.
    pub rollback_to: Option<SeqNum>,
    /// The events to apply then, in order.
    pub events: &'a [Event],
    /// Events up to here can no longer roll back: undo data for them is forgotten or not even made.
    pub settled: Position,
    /// What happens when the materializer of an event fails.
    pub on_failure: OnFailure,
}

/// What happens when the materializer of an event fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Refuse the batch: for events that are being committed.
    Refuse,
    /// Quarantine the event and go on: for events that are in a log already.
    Quarantine,
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The parts of the state that may read differently now, for example tables.
    pub changed: BTreeSet<Arc<str>>,
    /// Events whose materializer failed.
    pub quarantined: Vec<Quarantined>,
    /// Events that no materializer is declared for.
    pub unknown: Vec<UnknownEvent>,
}

/// Which event is being applied, as materializers that an application declares are told.
///
/// It leaves out what differs between replicas, such as the generation of the log.
#[derive(Clone, Copy, Debug)]
pub struct EventContext<'a>(&'a Event);

impl<'a> EventContext<'a> {
    /// The context of `event`.
    #[must_use]
    pub const fn new(event: &'a Event) -> Self {
        Self(event)
    }

    /// Its place in the order. An event that is not confirmed yet may be applied again at another one.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.0.num.position()
    }

    /// The client that committed it.
    #[must_use]
    pub const fn client_id(&self) -> &'a ClientId {
        &self.0.client_id
    }

    /// The session that committed it.
    #[must_use]
    pub const fn session_id(&self) -> &'a SessionId {
        &self.0.session_id
    }
}

/// An event that is in the log but has no effect on the state, because its materializer failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Its number.
    pub num: SeqNum,
    /// Its name.
    pub name: EventName,
    /// What its materializer said.
    pub error: String,
}

/// An event that the application does not know (yet).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownEvent {
    /// Its number.
    pub num: SeqNum,
    /// Its name.
    pub name: EventName,
}

/// A copy of a state, as a stream of bytes that only its own kind of materializer reads.
pub struct Snapshot {
    /// The head stored in the copy.
    pub head: SeqNum,
    /// How many bytes follow, for progress.
    pub len: u64,
    /// The copy.
    pub bytes: Box<dyn Read + Send>,
}

impl Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("head", &self.head).field("len", &self.len).finish_non_exhaustive()
    }
}

/// Why a state could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaterializeError {
    /// The batch builds on another version than the state's.
    #[error("the state is at {head}, the batch builds on {base}")]
    WrongBase {
        /// The state's head.
        head: SeqNum,
        /// What the batch builds on.
        base: SeqNum,
    },
    /// Undo data back to this event is missing: reset and replay.
    #[error("the state cannot be undone to {to}")]
    NoUndo {
        /// Where the rollback should have led.
        to: SeqNum,
    },
    /// The materializer of an event failed, and the batch was refused for it.
    #[error("the materializer of {name} failed at {num}")]
    Event {
        /// The event.
        num: SeqNum,
        /// Its name.
        name: EventName,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// No materializer is declared for an event that is being committed.
    #[error("no materializer is declared for {0}")]
    Undeclared(EventName),
    /// There is no room left on the device.
    #[error("no space left for the state")]
    Full(#[source] BoxError),
    /// What is stored cannot be read, or belongs to other definitions. It can be rebuilt from the log.
    #[error("the state is damaged")]
    Corrupt(#[source] BoxError),
    /// The definitions themselves cannot be used.
    #[error("invalid definitions: {0}")]
    Definition(String),
    /// The storage failed.
    #[error("the state's storage failed")]
    Storage(#[source] BoxError),
}

impl MaterializeError {
    /// What a caller should do next.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::Event { .. } | Self::Undeclared(_) => Recovery::Drop,
            Self::WrongBase { .. }
            | Self::NoUndo { .. }
            | Self::Full(_)
            | Self::Corrupt(_)
            | Self::Definition(_)
            | Self::Storage(_) => Recovery::Fatal,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Materializer for Box<dyn Materializer> {
    fn head(&self) -> Result<SeqNum, MaterializeError> {
        (**self).head()
    }
    fn apply(&mut self, batch: MaterializeBatch<'_>) -> Result<Applied, MaterializeError> {
        (**self).apply(batch)
    }
    fn reset(&mut self) -> Result<(), MaterializeError> {
        (**self).reset()
    }
    fn quarantined(&self) -> Result<Vec<Quarantined>, MaterializeError> {
        (**self).quarantined()
    }
    fn snapshot(&self) -> Result<Snapshot, MaterializeError> {
        (**self).snapshot()
    }
    fn restore(&mut self, snapshot: Snapshot) -> Result<(), MaterializeError> {
        (**self).restore(snapshot)
    }
    fn fork(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        (**self).fork()
    }
    fn view(&self) -> &dyn Any {
        (**self).view()
    }
}
