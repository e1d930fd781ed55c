//! What SQLite's errors mean.
//!
//! | SQLite says | when opening | when writing |
//! | --- | --- | --- |
//! | `NOTADB`, `CORRUPT` | [`OpenError::Damaged`] | closed |
//! | `FULL`, `BUSY` | [`OpenError::Storage`] | undone: the next push may succeed |
//! | anything else, a failed sync above all | [`OpenError::Storage`] | closed |

use std::path::Path;

use livestore_backend_log::{CommitError, OpenError};
use rusqlite::{Error, ErrorCode};

pub(crate) fn open_failed(path: &Path, error: Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::damaged(path, error),
        _ => OpenError::storage(path, error),
    }
}

pub(crate) fn commit_failed(error: Error) -> CommitError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => CommitError::Undone(error.into()),
        _ => CommitError::Failed(error.into()),
    }
}
