//! Where SQLite's errors become those of the contract.
//!
//! | SQLite | contract |
//! | --- | --- |
//! | `BUSY`, `LOCKED`: another handle writes and does not end | [`EventlogError::InUse`] |
//! | `FULL`, `TOOBIG` | [`EventlogError::Full`] |
//! | `NOTADB`, `CORRUPT`, a file that ends early, a missing table, a column of another type or content | [`EventlogError::Corrupt`] |
//! | everything else: `CANTOPEN`, `IOERR`, `READONLY`, `PERM` … | [`EventlogError::Storage`] |

use std::path::{Path, PathBuf};

use livestore_traits::{BoxError, EventlogError};
use rusqlite::{Error, ErrorCode, ffi};

/// Maps any of rusqlite's errors.
pub(crate) fn failed(error: Error) -> EventlogError {
    match &error {
        Error::SqliteFailure(failure, message) => match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => EventlogError::InUse,
            ErrorCode::DiskFull | ErrorCode::TooBig => EventlogError::Full(error.into()),
            ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => EventlogError::Corrupt(error.into()),
            _ if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
                EventlogError::Corrupt(error.into())
            }
            _ if is_schema_error(message.as_deref()) => EventlogError::Corrupt(error.into()),
            _ => EventlogError::Storage(error.into()),
        },
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::QueryReturnedNoRows => EventlogError::Corrupt(error.into()),
        _ => EventlogError::Storage(error.into()),
    }
}

/// The schema was checked when the log was opened, so a statement that does not fit it means that it was changed or
/// damaged; SQLite has no code of its own for that.
fn is_schema_error(message: Option<&str>) -> bool {
    message
        .is_some_and(|message| message.starts_with("no such table") || message.starts_with("no such column"))
}

/// What is stored was written by something else, or damaged.
pub(crate) fn corrupt(why: impl Into<BoxError>) -> EventlogError {
    EventlogError::Corrupt(why.into())
}

/// Says which file an error is about.
pub(crate) fn at_path(error: EventlogError, path: &Path) -> EventlogError {
    #[derive(Debug, thiserror::Error)]
    #[error("{}", path.display())]
    struct AtPath {
        path: PathBuf,
        source: BoxError,
    }
    let wrap = |source| Box::new(AtPath { path: path.to_owned(), source });
    match error {
        EventlogError::Full(source) => EventlogError::Full(wrap(source)),
        EventlogError::Corrupt(source) => EventlogError::Corrupt(wrap(source)),
        EventlogError::Storage(source) => EventlogError::Storage(wrap(source)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_place_in_the_contract() {
        let sqlite = |code| failed(Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(matches!(sqlite(ffi::SQLITE_BUSY), EventlogError::InUse));
        assert!(matches!(sqlite(ffi::SQLITE_BUSY_SNAPSHOT), EventlogError::InUse));
        assert!(matches!(sqlite(ffi::SQLITE_FULL), EventlogError::Full(_)));
        for code in [ffi::SQLITE_NOTADB, ffi::SQLITE_CORRUPT, ffi::SQLITE_IOERR_SHORT_READ] {
            assert!(matches!(sqlite(code), EventlogError::Corrupt(_)), "{code}");
        }
        for code in [ffi::SQLITE_CANTOPEN, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_READONLY, ffi::SQLITE_PERM] {
            assert!(matches!(sqlite(code), EventlogError::Storage(_)), "{code}");
        }
    }
}
