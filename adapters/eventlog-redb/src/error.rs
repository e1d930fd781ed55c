//! Where redb's errors become those of the contract.
//!
//! | redb | contract |
//! | --- | --- |
//! | the file is locked by another handle or process | [`EventlogError::InUse`] |
//! | no space, over quota, file too large | [`EventlogError::Full`] |
//! | a checksum or structure is wrong, the file ends early, it is no redb file, another format, other tables | [`EventlogError::Corrupt`] |
//! | an earlier I/O error, or the database was closed | [`EventlogError::Closed`] |
//! | everything else | [`EventlogError::Storage`] |

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use livestore_traits::{BoxError, EventlogError};
use redb::Error;

/// Maps any of redb's errors.
pub(crate) fn failed(error: impl Into<Error>) -> EventlogError {
    let error = error.into();
    match &error {
        Error::DatabaseAlreadyOpen => EventlogError::InUse,
        Error::PreviousIo | Error::DatabaseClosed => EventlogError::Closed,
        Error::Corrupted(_)
        | Error::UpgradeRequired(_)
        | Error::TableTypeMismatch { .. }
        | Error::TableIsMultimap(_)
        | Error::TypeDefinitionChanged { .. }
        | Error::TableDoesNotExist(_) => EventlogError::Corrupt(error.into()),
        Error::Io(io) => match io.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                EventlogError::Full(error.into())
            }
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => EventlogError::Corrupt(error.into()),
            _ => EventlogError::Storage(error.into()),
        },
        _ => EventlogError::Storage(error.into()),
    }
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
    use std::io;

    use super::*;

    #[test]
    fn each_error_has_its_place_in_the_contract() {
        let io = |kind: ErrorKind| Error::Io(io::Error::from(kind));
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
            assert!(matches!(failed(io(kind)), EventlogError::Full(_)), "{kind:?}");
        }
        for kind in [ErrorKind::InvalidData, ErrorKind::UnexpectedEof] {
            assert!(matches!(failed(io(kind)), EventlogError::Corrupt(_)), "{kind:?}");
        }
        for kind in [ErrorKind::PermissionDenied, ErrorKind::NotFound, ErrorKind::Other] {
            assert!(matches!(failed(io(kind)), EventlogError::Storage(_)), "{kind:?}");
        }
        assert!(matches!(failed(Error::DatabaseAlreadyOpen), EventlogError::InUse));
        assert!(matches!(failed(Error::PreviousIo), EventlogError::Closed));
        assert!(matches!(failed(Error::Corrupted("x".into())), EventlogError::Corrupt(_)));
        assert!(matches!(failed(Error::UpgradeRequired(1)), EventlogError::Corrupt(_)));
    }
}
