//! The log as a redb file: who holds it open, and when it closes.
//!
//! ```text
//!   RedbEventlog ─┐                      last one dropped, or a commit failed
//!   RedbEventlog ─┴─ Owner ── Store ──────────────────────────────────────────▶ file closed and unlocked
//!   RedbReader ──────────────┘           readers keep nothing open; they answer `Closed` then
//! ```
//!
//! **Durability.** A commit is one redb transaction with one sync of the file: `Durability::Immediate` in one phase, in
//! which pages and header are written together and a torn header is noticed by its checksum. Two phases, or quick-repair
//! (which needs them), would sync twice: measured with redb 4.1 on one machine, a commit of one event takes 190 µs as it
//! is, 260 µs in two phases, 395 µs with quick-repair. What they would save is the repair after a crash, which reads the
//! whole file once: 0.2 s for a file of 400 MB in the page cache, where the crash of a process leaves it. A log that was
//! closed opens in under a millisecond.

use std::fs::OpenOptions;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use livestore_redb_file::clear_unfinished;
use livestore_traits::{
    ArchiveInfo, Event, Eventlog, EventlogError, EventlogReader, Heads, LogCommit, Position, ReadLimit,
    SeqNum, SessionId, SessionRecord, Term,
};
use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend};

use crate::damage;
use crate::error::{at_path, failed};
use crate::tables;

/// Bytes of the file that redb may keep in memory; its own default of 1 GiB is meant for servers.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// A log in a redb file.
///
/// Dropping the last handle closes the file and unlocks it at once, also while readers of it live on.
#[derive(Debug)]
pub struct RedbEventlog {
    owner: Arc<Owner>,
}

/// A reader of a [`RedbEventlog`]. Does not keep the file open: when the log is gone, it answers
/// [`EventlogError::Closed`].
#[derive(Debug)]
pub struct RedbReader {
    store: Arc<Store>,
}

impl RedbEventlog {
    /// Opens the log in the file at `path`; a file that is not there, or empty, becomes a new log.
    ///
    /// # Errors
    /// [`EventlogError::InUse`] if another handle or process has it open, [`EventlogError::Corrupt`] if the file is
    /// damaged or something else, [`EventlogError::Full`] or [`EventlogError::Storage`] if it cannot be made or read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, EventlogError> {
        let path = path.as_ref();
        Self::open_file(path).map_err(|error| at_path(error, path))
    }

    fn open_file(path: &Path) -> Result<Self, EventlogError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(failed)?;
        let checked = damage::check_length(file.try_clone().map_err(failed)?);
        let backend = FileBackend::new(file).map_err(failed)?;
        // A file that somebody is writing may look as if it ended early.
        if checked.is_err() && !backend.try_lock_range(Bound::Unbounded, Bound::Unbounded).map_err(failed)? {
            return Err(EventlogError::InUse);
        }
        checked?;
        Self::with_backend(backend)
    }

    /// Opens the log in storage of your own: in memory, for tests and simulations, or somewhere other than in a file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_backend(backend: impl StorageBackend) -> Result<Self, EventlogError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = damage::catch(|| {
            clear_unfinished(&backend).map_err(failed)?;
            let database = builder.create_with_backend(backend).map_err(failed)?;
            let tx = database.begin_write().map_err(failed)?;
            if tables::prepare(&tx)? {
                tx.commit().map_err(failed)?;
            }
            Ok(database)
        })?;
        let store = Arc::new(Store { database: RwLock::new(Some(database)) });
        Ok(Self { owner: Arc::new(Owner(store)) })
    }

    /// Another handle on the same log, for several candidates in one process: which of them may write is decided by
    /// their terms.
    #[must_use]
    pub fn handle(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }

    fn store(&self) -> &Store {
        &self.owner.0
    }
}

/// Closes the store when the last handle is dropped.
#[derive(Debug)]
struct Owner(Arc<Store>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The database, until it is closed.
#[derive(Debug)]
struct Store {
    database: RwLock<Option<Database>>,
}

impl Store {
    /// Waits for the reads under way, then closes the file; later calls find it closed.
    fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        // Closing writes, too. If that fails the file is repaired when it is opened again, so there is nothing to report.
        let _ = damage::catch(|| {
            drop(database);
            Ok(())
        });
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, EventlogError>) -> Result<T, EventlogError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(EventlogError::Closed)?;
        damage::catch(|| act(database))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, EventlogError>,
    ) -> Result<T, EventlogError> {
        self.with(|database| read(&database.begin_read().map_err(failed)?))
    }

    fn commit(&self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        let result = self.with(|database| {
            let tx = database.begin_write().map_err(failed)?;
            let heads = tables::write(&tx, term, commit)?;
            tx.commit().map_err(failed)?;
            Ok(heads)
        });
        if !matches!(result, Ok(_) | Err(EventlogError::Fenced { .. } | EventlogError::Refused(_))) {
            // What is on the disk is not known any more. Opening the file again finds out.
            self.close();
        }
        result
    }
}

macro_rules! forward_reads {
    ($type:ty, $($store:tt)+) => {
        impl EventlogReader for $type {
            fn heads(&self) -> Result<Heads, EventlogError> {
                self.$($store)+.read(tables::heads)
            }
            fn read(&self, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
                self.$($store)+.read(|tx| tables::read(tx, after, limit))
            }
            fn common(&self, version: SeqNum) -> Result<SeqNum, EventlogError> {
                self.$($store)+.read(|tx| tables::common(tx, version))
            }
            fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
                self.$($store)+.read(|tx| tables::session(tx, session_id))
            }
            fn archives(&self) -> Result<Vec<ArchiveInfo>, EventlogError> {
                self.$($store)+.read(tables::archives)
            }
            fn read_archive(
                &self,
                id: u64,
                after: Position,
                limit: ReadLimit,
            ) -> Result<Vec<Event>, EventlogError> {
                self.$($store)+.read(|tx| tables::read_archive(tx, id, after, limit))
            }
        }
    };
}

forward_reads!(RedbEventlog, store());
forward_reads!(RedbReader, store);

impl Eventlog for RedbEventlog {
    fn commit(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        self.store().commit(term, commit)
    }

    fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        // Fails now rather than at the first read, if the log is closed.
        self.store().with(|_| Ok(()))?;
        Ok(Box::new(RedbReader { store: Arc::clone(&self.owner.0) }))
    }
}
