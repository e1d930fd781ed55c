//! Why the file of a storage cannot be opened: the same for every storage, so that a command line says it once.

use std::io;
use std::path::{Path, PathBuf};

use livestore_traits::BoxError;

/// Why a data dir cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The file is cut off, was changed by something else, or is no data file.
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
    /// The file at `path` is damaged.
    pub fn damaged(path: &Path, source: impl Into<BoxError>) -> Self {
        Self::Damaged { path: path.to_owned(), source: source.into() }
    }

    /// The file at `path` cannot be opened.
    pub fn storage(path: &Path, source: impl Into<BoxError>) -> Self {
        Self::Storage { path: path.to_owned(), source: source.into() }
    }

    /// Reading or writing `path` failed.
    #[must_use]
    pub fn io(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::damaged(path, error),
            _ => Self::storage(path, error),
        }
    }
}
