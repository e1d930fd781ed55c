//! What redb's errors mean when a data dir is opened.
//!
//! | redb says | we say |
//! | --- | --- |
//! | `DatabaseAlreadyOpen` | [`OpenError::InUse`] |
//! | `Corrupted`, an I/O error over what it read, or a panic | [`OpenError::Damaged`] |
//! | anything else | [`OpenError::Storage`] |

use std::path::Path;

use livestore_backend_log::OpenError;
use redb::{DatabaseError, StorageError};

pub(crate) fn open_failed(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.to_owned()),
        DatabaseError::Storage(StorageError::Io(error)) => OpenError::io(path, error),
        DatabaseError::Storage(StorageError::Corrupted(_)) => OpenError::damaged(path, error),
        other => OpenError::storage(path, other),
    }
}
