//! What a backend implements: where the logs are kept.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use livestore_traits::{
    BackendId, BoxError, ClientId, ClientSecret, Cursor, Durability, GlobalSeq, StoreId, SyncedEvent,
};

use crate::PageBuilder;

/// The number of a log within its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogNo(pub u32);

/// A random mark of one accepted batch, stored with each of its events. The tag of the event a cursor stands on is the
/// cursor's token: no other history has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub [u8; 8]);

/// The last event of a log, or another place in it, with the tag that stands there. The root has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The number of the event.
    pub seq: GlobalSeq,
    /// Its tag.
    pub tag: Option<Tag>,
}

impl Head {
    /// The cursor that stands here.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { after: self.seq, token: self.token() }
    }

    /// The token of that cursor.
    #[must_use]
    pub fn token(&self) -> Option<Bytes> {
        self.tag.map(|tag| Bytes::copy_from_slice(&tag.0))
    }
}

/// What is stored about a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Its number.
    pub log: LogNo,
    /// Its incarnation.
    pub backend_id: BackendId,
    /// Its last event.
    pub head: Head,
}

/// A log to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLog {
    /// Its number, used by no other log.
    pub log: LogNo,
    /// The store it belongs to.
    pub store: StoreId,
    /// Its incarnation.
    pub backend_id: BackendId,
}

/// The owner of a client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The id.
    pub client_id: ClientId,
    /// What only its owner knows.
    pub secret: ClientSecret,
}

/// An admitted batch: it follows the head of its log.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The log it extends.
    pub log: LogNo,
    /// Its tag.
    pub tag: Tag,
    /// Its events, stamped with their time.
    pub events: Arc<[SyncedEvent]>,
    /// An owner to store with it.
    pub owner: Option<Owner>,
}

/// What becomes durable together.
#[derive(Debug, Default)]
pub struct Changes {
    /// Logs to create.
    pub created: Vec<NewLog>,
    /// Batches to append, in this order; never to a log in `created`.
    pub batches: Vec<Batch>,
}

impl Changes {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.created.is_empty() && self.batches.is_empty()
    }
}

/// A batch of more bytes than this, half a page of the usual size, fills pages of its log by itself.
const MAX_SCATTERED_BYTES: usize = 2048;
/// With fewer small batches than this in a group, a journal saves no page.
const MIN_SCATTERED_BATCHES: usize = 4;

impl Changes {
    /// After how many events a journal should be sorted into the logs: enough that they share pages there, few enough to
    /// hold up the pushes behind them by some milliseconds only.
    pub const MAX_JOURNAL_EVENTS: usize = 4096;

    /// For storages that keep the events of a log together: divides the batches into those that would each change a page
    /// for next to nothing, and the others. In a journal, in the order in which they came, the former share a few pages.
    #[must_use]
    pub fn scattered(&self) -> (Vec<&Batch>, Vec<&Batch>) {
        let (small, large): (Vec<_>, Vec<_>) = self.batches.iter().partition(|batch| {
            batch.events.iter().map(SyncedEvent::encoded_len).sum::<usize>() <= MAX_SCATTERED_BYTES
        });
        if small.len() < MIN_SCATTERED_BATCHES {
            return (Vec::new(), self.batches.iter().collect());
        }
        (small, large)
    }
}

/// Why changes were not stored.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was stored and the storage is as good as before.
    #[error("the write was undone")]
    Undone(#[source] BoxError),
    /// What is stored is not known; the storage must not be written any more.
    #[error("the write failed")]
    Failed(#[source] BoxError),
}

/// Keeps many logs. Blocking; admission, order and caching are done above it.
///
/// # Contract
/// - [`commit`](Self::commit) is called by one caller at a time; reads run beside it.
/// - When `commit` returns `Ok`, all of the changes survive to the degree of [`DURABILITY`](Self::DURABILITY); otherwise
///   none was acknowledged, and after [`CommitError::Failed`] it is not called again.
/// - Reads see what was committed before they began.
pub trait LogStorage: Debug + Send + Sync + 'static {
    /// The name of the backend in errors.
    const NAME: &'static str;
    /// What a commit survives.
    const DURABILITY: Durability;
    /// Whether reads may wait for a device, so that they must not run in an async task.
    const READS_BLOCK: bool;

    /// The smallest number that no log has had.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn next_log(&self) -> Result<LogNo, BoxError>;

    /// What is stored about the log of `store`, if there is one.
    ///
    /// # Errors
    /// If the storage cannot be read or its content makes no sense.
    fn find(&self, store: &StoreId) -> Result<Option<LogInfo>, BoxError>;

    /// Stores all changes, or none.
    ///
    /// # Errors
    /// As [`CommitError`] says.
    fn commit(&self, changes: &Changes) -> Result<(), CommitError>;

    /// Gives the events in `(after, through]` to `page`, ascending, until it takes no more.
    ///
    /// # Errors
    /// If the storage cannot be read or its content makes no sense.
    fn read(
        &self,
        log: LogNo,
        after: GlobalSeq,
        through: GlobalSeq,
        page: &mut PageBuilder,
    ) -> Result<(), BoxError>;

    /// The tag of the event at `seq`.
    ///
    /// # Errors
    /// If the storage cannot be read or its content makes no sense.
    fn tag(&self, log: LogNo, seq: GlobalSeq) -> Result<Option<Tag>, BoxError>;

    /// The secret of the owner of a client id.
    ///
    /// # Errors
    /// If the storage cannot be read or its content makes no sense.
    fn owner(&self, log: LogNo, client_id: &ClientId) -> Result<Option<ClientSecret>, BoxError>;
}
