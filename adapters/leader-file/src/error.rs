//! Where file errors become those of the contract.
//!
//! All of them are [`LeaderError::Storage`]: whatever is wrong with the directory, the caller can only report it. The
//! source names the file and what was tried.

use std::io;
use std::path::{Path, PathBuf};

use livestore_traits::LeaderError;

#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {}", path.display())]
struct FileError {
    act: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Names what was tried and on which file.
pub(crate) fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LeaderError {
    move |source| LeaderError::Storage(Box::new(FileError { act, path: path.to_owned(), source }))
}
