//! What SQLite's errors mean.
//!
//! | SQLite says | when opening | when writing |
//! | --- | --- | --- |
//! | `NOTADB`, `CORRUPT` | [`OpenError::Damaged`] | closed |
//! | `FULL`, `IOERR_WRITE` | the WAL stays as it is | undone: the next push may succeed |
//! | `BUSY` | [`OpenError::Storage`] | undone |
//! | anything else, a failed sync above all | [`OpenError::Storage`] | closed |
//!
//! A write that failed is known to have failed: SQLite undoes the transaction and writes its frames again. After a failed
//! sync nobody knows what is on the disk.

use std::path::Path;

use livestore_backend_log::{CommitError, OpenError};
use rusqlite::{Error, ErrorCode, ffi};

pub(crate) fn open_failed(path: &Path, error: Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::damaged(path, error),
        _ => OpenError::storage(path, error),
    }
}

pub(crate) fn commit_failed(error: Error) -> CommitError {
    if is_no_room(&error) || error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
        CommitError::Undone(error.into())
    } else {
        CommitError::Failed(error.into())
    }
}

/// Whether a write failed, most likely for want of room: a full disk (`FULL`), a quota or a limit on file size
/// (`IOERR_WRITE`).
pub(crate) fn is_no_room(error: &Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_WRITE))
}
