//! Why a connection failed, and what that means for a link.
//!
//! | what happened | `LinkError` |
//! | --- | --- |
//! | no address, nobody listens, the connection ended | `Gone` |
//! | the files or the leader belong to another user | `Refused` |
//! | another version, store or definitions; an address of unknown kind | `Incompatible` |
//! | no answer in time, broken rules, files that cannot be used | `Link` |
//!
//! What the leader's own link answered arrives as the same variant.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use livestore_traits::LinkError;

/// Why a connection failed. The source of [`LinkError::Link`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A file of the data directory cannot be used.
    #[error("cannot {act} {}", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The other side said nothing for so long.
    #[error("the leader has not answered for {0:?}: its process may be stopped")]
    NoAnswer(Duration),
    /// The other side took nothing of what it was sent for so long.
    #[error("the other side has taken nothing for {0:?}")]
    Stalled(Duration),
    /// A message is larger than this side takes or sends.
    #[error("a message of {bytes} bytes, but at most {max_bytes} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is allowed.
        max_bytes: usize,
    },
    /// The other side broke the rules of the protocol.
    #[error("the other side broke the protocol: {0}")]
    Protocol(String),
    /// The connection ended in the middle of something, or broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The leader has no room for another connection.
    #[error("the leader serves {max_connections} connections already")]
    Crowded {
        /// The most that it serves.
        max_connections: usize,
    },
    /// A snapshot did not arrive as it was announced.
    #[error("the snapshot is incomplete: {0}")]
    Snapshot(String),
    /// What the leader could not do, in its own words.
    #[error("the leader failed: {0}")]
    Leader(String),
}

impl LocalError {
    /// Names what was tried and on which file.
    pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { act, path: path.to_owned(), source }
    }

    pub(crate) fn protocol(error: &dyn std::error::Error) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl From<io::Error> for LocalError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<LocalError> for LinkError {
    fn from(error: LocalError) -> Self {
        match &error {
            LocalError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                Self::Refused(format!("{error}: it belongs to another user, or may not be written"))
            }
            LocalError::Broken(source) if is_gone(source.kind()) => Self::Gone,
            LocalError::File { .. }
            | LocalError::NoAnswer(_)
            | LocalError::Stalled(_)
            | LocalError::TooLarge { .. }
            | LocalError::Protocol(_)
            | LocalError::Broken(_)
            | LocalError::Crowded { .. }
            | LocalError::Snapshot(_)
            | LocalError::Leader(_) => Self::Link(error.into()),
        }
    }
}

/// Whether a failure of a connection means that nobody is at its other end.
pub(crate) fn is_gone(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof
    )
}

/// An error with its sources, in one line: what is told to another process.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    words
}
