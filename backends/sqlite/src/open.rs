//! Opening a file: who may, whether it is whole, and its schema.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use livestore_backend_log::OpenError;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::error;

const FORMAT: u32 = 1;
/// Marks the file as ours: "lvst".
const APPLICATION_ID: u32 = 0x6c76_7374;

/// The page size of a file that we made: SQLite's default.
const PAGE_BYTES: u64 = 4096;

const SCHEMA: &str = "
    CREATE TABLE stores (
        log INTEGER PRIMARY KEY,
        store TEXT NOT NULL UNIQUE,
        backend_id TEXT NOT NULL
    ) STRICT;
    CREATE TABLE events (
        log INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        tag BLOB NOT NULL,
        created_at INTEGER NOT NULL,
        name TEXT NOT NULL,
        client_id TEXT NOT NULL,
        session_id TEXT NOT NULL,
        commit_n INTEGER,
        commit_index INTEGER,
        unit_end INTEGER NOT NULL,
        args TEXT NOT NULL,
        PRIMARY KEY (log, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE journal (
        row INTEGER PRIMARY KEY,
        log INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        tag BLOB NOT NULL,
        created_at INTEGER NOT NULL,
        name TEXT NOT NULL,
        client_id TEXT NOT NULL,
        session_id TEXT NOT NULL,
        commit_n INTEGER,
        commit_index INTEGER,
        unit_end INTEGER NOT NULL,
        args TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX journal_by_log ON journal (log, seq);
    CREATE TABLE owners (
        log INTEGER NOT NULL,
        client_id TEXT NOT NULL,
        secret BLOB NOT NULL,
        PRIMARY KEY (log, client_id)
    ) STRICT, WITHOUT ROWID;
";

/// Keeps other servers out while it lives. SQLite itself would let them in.
#[derive(Debug)]
pub(crate) struct InUse {
    _file: File,
}

impl InUse {
    pub(crate) fn claim(database: &Path) -> Result<Self, OpenError> {
        let path = with_suffix(database, ".lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| OpenError::io(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(database.to_owned())),
            Err(TryLockError::Error(error)) => Err(OpenError::io(&path, error)),
        }
    }
}

/// Opens the connection that writes, and makes the schema of a new file.
pub(crate) fn writer(path: &Path) -> Result<Connection, OpenError> {
    let failed = |error| error::open_failed(path, error);
    check_first_page(path)?;
    let mut connection = Connection::open(path).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    // Before anything else is read: what a crash left in the WAL goes into the file. Where there is no room for it, it
    // can be read in the WAL.
    match checkpoint(&connection) {
        Ok(()) => check_length(&connection, path)?,
        Err(error) if error::is_no_room(&error) => {}
        Err(error) => return Err(failed(error)),
    }
    let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = prepare(&txn).map_err(failed)?;
    txn.commit().map_err(failed)?;
    match found {
        Some(FORMAT) => Ok(connection),
        Some(found) => {
            let (found, supported) = (found.into(), FORMAT.into());
            Err(OpenError::Format { path: path.to_owned(), found, supported })
        }
        None => Err(OpenError::damaged(path, "it belongs to another application")),
    }
}

/// Opens a connection that only reads.
pub(crate) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    configure(&connection)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Moves the WAL into the file.
pub(crate) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
    if busy {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(code, Some("a reader keeps the WAL in use".into())));
    }
    Ok(())
}

/// SQLite takes a file that is shorter than a page for a new one and would write over what is left of it.
fn check_first_page(path: &Path) -> Result<(), OpenError> {
    match path.metadata() {
        Ok(file) if (1..PAGE_BYTES).contains(&file.len()) => {
            Err(OpenError::damaged(path, "its first page is cut off"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::io(path, error)),
    }
}

/// SQLite finds out that a file was cut off when it wants a missing page; we want to know before we serve it.
fn check_length(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0).map(u64::from));
    let pages = pragma("page_count").map_err(|error| error::open_failed(path, error))?;
    let page_size = pragma("page_size").map_err(|error| error::open_failed(path, error))?;
    let bytes = path.metadata().map_err(|error| OpenError::io(path, error))?.len();
    let expected = pages.saturating_mul(page_size);
    if bytes < expected {
        return Err(OpenError::damaged(path, format!("it has {bytes} bytes and should have {expected}")));
    }
    Ok(())
}

/// Makes the schema of a new file; the format of any file of ours.
fn prepare(txn: &Transaction<'_>) -> rusqlite::Result<Option<u32>> {
    let pragma = |name| txn.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let objects: u32 = txn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if objects == 0 {
        txn.execute_batch(SCHEMA)?;
        txn.pragma_update(None, "application_id", APPLICATION_ID)?;
        txn.pragma_update(None, "user_version", FORMAT)?;
        return Ok(Some(FORMAT));
    }
    if pragma("application_id")? != APPLICATION_ID {
        return Ok(None);
    }
    pragma("user_version").map(Some)
}

/// The path of a file that SQLite, or we, keep beside the database.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
