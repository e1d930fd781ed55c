//! The tables of a log, and how a file is recognised as one.
//!
//! `application_id` says that a file is an eventlog, `user_version` which format it has. A file of another application or
//! format is never written to. Numbers of events are kept in the notation used everywhere (`e3.1r2`) where they are only
//! read back, and in columns where they are searched.

use livestore_traits::{EventlogError, Heads};
use rusqlite::{Connection, TransactionBehavior};

use crate::error::{corrupt, failed};
use crate::tables;

/// "LSel".
const APPLICATION_ID: i32 = 0x4c53_656c;
/// The format of the tables below. Files of released formats are read for ever.
const FORMAT: i32 = 1;

const TABLES: &str = "
CREATE TABLE head (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    local        TEXT NOT NULL,
    settled      TEXT NOT NULL,
    upstream     TEXT NOT NULL,
    cursor_after INTEGER NOT NULL,
    cursor_token BLOB,
    backend_id   TEXT,
    generation   INTEGER NOT NULL,
    term         INTEGER NOT NULL,
    client_id    TEXT,
    secret       BLOB
) STRICT;

CREATE TABLE event (
    global       INTEGER NOT NULL,
    client       INTEGER NOT NULL,
    generation   INTEGER NOT NULL,
    name         TEXT NOT NULL,
    args         TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    commit_n     INTEGER,
    commit_index INTEGER,
    unit_end     INTEGER NOT NULL,
    is_own       INTEGER NOT NULL,
    PRIMARY KEY (global, client)
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    session_id   TEXT PRIMARY KEY,
    persisted    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE gone (
    session_id   TEXT NOT NULL,
    n            INTEGER NOT NULL,
    reason       TEXT NOT NULL, -- JSON
    PRIMARY KEY (session_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE archive (
    id           INTEGER PRIMARY KEY,
    base         TEXT NOT NULL,
    head         TEXT NOT NULL,
    backend_id   TEXT,
    reason       TEXT NOT NULL
) STRICT;

CREATE TABLE archived_event (
    archive      INTEGER NOT NULL,
    global       INTEGER NOT NULL,
    client       INTEGER NOT NULL,
    generation   INTEGER NOT NULL,
    name         TEXT NOT NULL,
    args         TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    commit_n     INTEGER,
    commit_index INTEGER,
    unit_end     INTEGER NOT NULL,
    is_own       INTEGER NOT NULL,
    PRIMARY KEY (archive, global, client)
) STRICT, WITHOUT ROWID;
";

/// Makes the tables of a new log, or checks that the file is one that can be read.
pub(crate) fn prepare(connection: &mut Connection) -> Result<(), EventlogError> {
    if is_log(connection)? {
        return Ok(());
    }
    // Outside of the transaction, as SQLite demands. Only a file that is empty gets here.
    connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another process may have made the tables meanwhile.
    if !is_log(&tx)? {
        tx.execute_batch(TABLES).map_err(failed)?;
        tables::insert_heads(&tx, &Heads::default())?;
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        tx.pragma_update(None, "user_version", FORMAT).map_err(failed)?;
    }
    tx.commit().map_err(failed)
}

/// Whether the file is a log of this format; false if it is empty.
fn is_log(connection: &Connection) -> Result<bool, EventlogError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(failed);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, FORMAT) => Ok(true),
        (APPLICATION_ID, other) => {
            Err(corrupt(format!("an eventlog of format {other}, only {FORMAT} can be read")))
        }
        (0, 0) if tables == 0 => Ok(false),
        _ => Err(corrupt("the SQLite database is not an eventlog")),
    }
}
