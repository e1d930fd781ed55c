//! What errors of SQLite mean for a state.
//!
//! | SQLite | here |
//! | --- | --- |
//! | `FULL` | [`MaterializeError::Full`] |
//! | `CORRUPT`, `NOTADB` | [`MaterializeError::Corrupt`] |
//! | `BUSY`, `LOCKED`, `IOERR`, `NOMEM`, `READONLY`, `PERM`, `CANTOPEN`, `PROTOCOL`, `INTERRUPT` | [`MaterializeError::Storage`] |
//! | anything else while a materializer runs | its event fails: the same statement fails the same way everywhere |
//! | anything else | [`MaterializeError::Storage`] |

use livestore_traits::{BoxError, MaterializeError};
use rusqlite::{Error, ErrorCode};

pub(crate) fn storage(error: Error) -> MaterializeError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => MaterializeError::Full(error.into()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => MaterializeError::Corrupt(error.into()),
        _ => MaterializeError::Storage(error.into()),
    }
}

/// Puts what was attempted in front of the error, so that a person can tell which file it is about.
pub(crate) fn with_context(error: MaterializeError, what: &str) -> MaterializeError {
    let add = |source: BoxError| -> BoxError { format!("{what}: {source}").into() };
    match error {
        MaterializeError::Full(source) => MaterializeError::Full(add(source)),
        MaterializeError::Corrupt(source) => MaterializeError::Corrupt(add(source)),
        MaterializeError::Storage(source) => MaterializeError::Storage(add(source)),
        other => other,
    }
}

/// Whether the storage failed rather than the statement: such an error says nothing about the event.
pub(crate) fn is_storage_failure(error: &Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::CannotOpen
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OperationInterrupted
        )
    )
}

/// A copy of a storage failure, to be kept beside the one that is handed to the materializer.
pub(crate) fn copy(error: &Error) -> Option<Error> {
    match error {
        Error::SqliteFailure(code, message) => Some(Error::SqliteFailure(*code, message.clone())),
        _ => None,
    }
}
