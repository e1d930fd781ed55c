//! The log as an SQLite file: its connections, and when it closes.
//!
//! **Durability.** WAL with `synchronous = FULL`: a commit syncs the WAL before it returns. The file may be open in several
//! handles and processes; each commit takes the write lock first and then reads the heads, so that terms decide between
//! two writers whoever they are.
//!
//! **Readers** have a read-only connection each. In WAL they see the last commit whole and hold nobody up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use livestore_traits::{
    ArchiveInfo, Event, Eventlog, EventlogError, EventlogReader, Heads, LogCommit, Position, ReadLimit,
    SeqNum, SessionId, SessionRecord, Term,
};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::{at_path, corrupt, failed};
use crate::{schema, tables};

/// How long a commit waits for another handle's to end. One commit takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements kept ready: more than there are.
const STATEMENTS: usize = 32;
/// Bytes of the smallest page that an SQLite file can have.
const SMALLEST_PAGE: u64 = 512;

/// A log in an SQLite file.
#[derive(Debug)]
pub struct SqliteEventlog {
    file: File,
    path: PathBuf,
}

/// A reader of a [`SqliteEventlog`], with a connection of its own.
#[derive(Debug)]
pub struct SqliteReader {
    file: File,
}

/// A connection, and whether a failed commit has closed its log.
#[derive(Debug)]
struct File {
    connection: Connection,
    closed: Arc<AtomicBool>,
}

impl SqliteEventlog {
    /// Opens the log in the file at `path`; a file that is not there, or empty, becomes a new log. SQLite keeps two more
    /// files beside it while it is open.
    ///
    /// # Errors
    /// [`EventlogError::Corrupt`] if the file is damaged or something else, [`EventlogError::Full`],
    /// [`EventlogError::InUse`] or [`EventlogError::Storage`] if it cannot be made or read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, EventlogError> {
        let path = path.as_ref();
        Self::open_file(path).map_err(|error| at_path(error, path))
    }

    fn open_file(path: &Path) -> Result<Self, EventlogError> {
        check_length(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = connect(path, flags)?;
        connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
        // Where a plain fsync leaves data in the drive's cache (macOS); no effect elsewhere.
        connection.pragma_update(None, "fullfsync", true).map_err(failed)?;
        schema::prepare(&mut connection)?;
        tables::heads(&connection)?;
        Ok(Self { file: File { connection, closed: Arc::default() }, path: path.to_owned() })
    }

    fn write(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        // The lock first: a transaction that began by reading could not go on to write if another handle wrote meanwhile.
        let tx =
            self.file.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let heads = tables::write(&tx, term, commit)?;
        tx.commit().map_err(failed)?;
        Ok(heads)
    }
}

/// SQLite takes a file that is shorter than its smallest page for an empty one, and would write over it.
fn check_length(path: &Path) -> Result<(), EventlogError> {
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() && (1..SMALLEST_PAGE).contains(&file.len()) => {
            Err(corrupt(format!("a file of {} bytes is no SQLite database", file.len())))
        }
        // What else is wrong with the path SQLite finds out.
        _ => Ok(()),
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, EventlogError> {
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

impl File {
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, EventlogError>,
    ) -> Result<T, EventlogError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(EventlogError::Closed);
        }
        read(&self.connection)
    }

    /// Reads with several statements, all of them at one moment.
    fn read_together<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, EventlogError>,
    ) -> Result<T, EventlogError> {
        self.read(|connection| {
            let tx = connection.unchecked_transaction().map_err(failed)?;
            read(&tx)
        })
    }
}

macro_rules! forward_reads {
    ($type:ty) => {
        impl EventlogReader for $type {
            fn heads(&self) -> Result<Heads, EventlogError> {
                self.file.read(tables::heads)
            }
            fn read(&self, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
                self.file.read(|connection| tables::read(connection, after, limit))
            }
            fn common(&self, version: SeqNum) -> Result<SeqNum, EventlogError> {
                self.file.read(|connection| tables::common(connection, version))
            }
            fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
                self.file.read_together(|connection| tables::session(connection, session_id))
            }
            fn archives(&self) -> Result<Vec<ArchiveInfo>, EventlogError> {
                self.file.read(tables::archives)
            }
            fn read_archive(
                &self,
                id: u64,
                after: Position,
                limit: ReadLimit,
            ) -> Result<Vec<Event>, EventlogError> {
                self.file.read(|connection| tables::read_archive(connection, id, after, limit))
            }
        }
    };
}

forward_reads!(SqliteEventlog);
forward_reads!(SqliteReader);

impl Eventlog for SqliteEventlog {
    fn commit(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        if self.file.closed.load(Ordering::Acquire) {
            return Err(EventlogError::Closed);
        }
        let result = self.write(term, commit);
        if !matches!(result, Ok(_) | Err(EventlogError::Fenced { .. } | EventlogError::Refused(_))) {
            // What is on the disk is not known any more. Opening the file again finds out.
            self.file.closed.store(true, Ordering::Release);
        }
        result
    }

    fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        self.file.read(|_| Ok(()))?;
        let connection = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|error| at_path(error, &self.path))?;
        Ok(Box::new(SqliteReader { file: File { connection, closed: Arc::clone(&self.file.closed) } }))
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::{Args, ClientId, EventName};

    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_and_closes_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eventlog.sqlite");
        let mut log = SqliteEventlog::open(&path).unwrap();
        log.file.connection.pragma_update(None, "max_page_count", 20).unwrap();
        let mut commit = LogCommit::new(&Heads::default());
        commit.append.push(Event {
            num: "e1".parse().unwrap(),
            name: EventName::new("v1.Noted").unwrap(),
            args: Args::from_value(&"x".repeat(100_000)).unwrap(),
            client_id: ClientId::new("c1").unwrap(),
            session_id: SessionId::new("s1").unwrap(),
            commit: None,
            unit_end: true,
            is_own: true,
        });
        assert!(matches!(log.commit(Term(1), commit), Err(EventlogError::Full(_))));
        assert!(matches!(log.heads(), Err(EventlogError::Closed)));
        assert_eq!(SqliteEventlog::open(&path).unwrap().heads().unwrap(), Heads::default());
    }

    #[test]
    fn another_writer_that_does_not_end_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eventlog.sqlite");
        let mut log = SqliteEventlog::open(&path).unwrap();
        let other = SqliteEventlog::open(&path).unwrap();
        log.file.connection.busy_timeout(Duration::ZERO).unwrap();
        other.file.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let commit = LogCommit::new(&Heads::default());
        assert!(matches!(log.commit(Term(1), commit), Err(EventlogError::InUse)));
    }

    #[test]
    fn what_makes_commits_durable_is_switched_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eventlog.sqlite");
        drop(SqliteEventlog::open(&path).unwrap());
        // Also when the file is there already.
        let log = SqliteEventlog::open(&path).unwrap();
        let pragma = |name: &str| {
            log.file
                .connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!(pragma("synchronous"), 2.into());
        assert_eq!(pragma("fullfsync"), 1.into());
    }
}
