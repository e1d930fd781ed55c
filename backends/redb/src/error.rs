//! Why a data dir cannot be opened.
//!
//! | redb says | we say |
//! | --- | --- |
//! | `DatabaseAlreadyOpen` | [`OpenError::InUse`] |
//! | `Corrupted`, an I/O error of kind `InvalidData`, or a panic while opening | [`OpenError::Damaged`] |
//! | `UpgradeRequired`, or a layout of another version | [`OpenError::Format`] |
//! | anything else | [`OpenError::Storage`] |

use std::io;
use std::path::{Path, PathBuf};

use livestore_traits::BoxError;
use redb::{DatabaseError, StorageError};

/// Why a data dir cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The file is cut off, was changed by something else, or is no redb file.
    #[error("{} is damaged or is no livestore data", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// The file was written by another version.
    #[error("{} has format {found}, this version reads format {supported}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The one that is understood.
        supported: u64,
    },
    /// The disk or its permissions.
    #[error("{} cannot be opened", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl OpenError {
    pub(crate) fn database(path: &Path, error: DatabaseError) -> Self {
        let path = path.to_owned();
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse(path),
            DatabaseError::Storage(StorageError::Corrupted(_)) => {
                Self::Damaged { path, source: error.into() }
            }
            DatabaseError::Storage(StorageError::Io(source)) => Self::io(path, source),
            other => Self::Storage { path, source: other.into() },
        }
    }

    pub(crate) fn io(path: PathBuf, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Damaged { path, source: error.into() }
            }
            _ => Self::Storage { path, source: error.into() },
        }
    }

    pub(crate) fn damaged(path: &Path, source: impl Into<BoxError>) -> Self {
        Self::Damaged { path: path.to_owned(), source: source.into() }
    }
}
