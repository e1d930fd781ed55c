//! What redb's errors mean when a data dir is opened.
//!
//! | redb says | we say |
//! | --- | --- |
//! | `DatabaseAlreadyOpen` | [`OpenError::InUse`] |
//! | `Corrupted`, an I/O error over what it read, or a panic | [`OpenError::Damaged`] |
//! | another I/O error, now or before | [`OpenError::Storage`] |
//! | anything else | [`OpenError::Storage`] when it opens the file, [`OpenError::Damaged`] over what it finds in it |

use std::io::ErrorKind;
use std::path::Path;

use livestore_backend_log::OpenError;
use livestore_traits::BoxError;
use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};

pub(crate) fn open_failed(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.to_owned()),
        DatabaseError::Storage(StorageError::Io(error)) => OpenError::io(path, error),
        DatabaseError::Storage(StorageError::Corrupted(_)) => OpenError::damaged(path, error),
        other => OpenError::storage(path, other),
    }
}

/// What was found in a file that could be opened cannot be used; if that is the disk's fault, the file is not to blame.
pub(crate) fn unusable(path: &Path, error: BoxError) -> OpenError {
    let is_io = match storage_error(&error) {
        Some(StorageError::Io(io)) => !matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        other => matches!(other, Some(StorageError::PreviousIo)),
    };
    if is_io { OpenError::storage(path, error) } else { OpenError::damaged(path, error) }
}

fn storage_error(error: &BoxError) -> Option<&StorageError> {
    if let Some(error) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(TransactionError::Storage(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(TableError::Storage(error)) = error.downcast_ref() {
        return Some(error);
    }
    match error.downcast_ref() {
        Some(CommitError::Storage(error)) => Some(error),
        _ => None,
    }
}
