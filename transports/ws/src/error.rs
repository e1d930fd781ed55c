//! Why there is no connection.

use std::sync::Arc;

use livestore_dial::DialError;
use livestore_traits::{PullError, PushError};
use livestore_wire::{CLOSE_UNAUTHORIZED, DecodeError};
use tokio_websockets::Error;

/// Why a connection could not be made, or broke. The source of [`PushError::Offline`] and its like.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WsError {
    /// There is nothing to show to the server.
    #[error("the source of the sync payload failed")]
    Payload(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The server could not be reached.
    #[error(transparent)]
    Connect(#[from] DialError),
    /// The server answered, but not with a WebSocket.
    #[error("the server answered the handshake with status {0}")]
    Refused(u16),
    /// The server speaks another protocol.
    #[error("the server does not speak {}", livestore_wire::SUBPROTOCOL)]
    Subprotocol,
    /// The server took too long.
    #[error("the server did not answer in time")]
    Timeout,
    /// The server closed the connection.
    #[error("the server closed the connection: {reason} ({code})")]
    Closed {
        /// The code of the WebSocket protocol.
        code: u16,
        /// What the server says.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Arc<Error>),
    /// The connection ended without a word.
    #[error("the connection ended")]
    Ended,
    /// The server broke the rules of the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// What the server sent made this side panic; a bug, of which only the connection is to suffer.
    #[error("the connection was given up: what the server sent made its reader panic")]
    Panicked,
    /// The runtime that drives the connection is gone.
    #[error("the runtime of the connection has shut down")]
    NoRuntime,
}

impl WsError {
    /// What a handshake that failed with `error` means.
    pub(crate) fn handshake(error: Error) -> Self {
        use tokio_websockets::upgrade::Error::DidNotSwitchProtocols;
        match error {
            Error::Upgrade(DidNotSwitchProtocols(status)) => Self::Refused(status),
            error => error.into(),
        }
    }

    /// Whether the server wants other credentials, or the ones it took have expired.
    const fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused(401 | 403) | Self::Closed { code: CLOSE_UNAUTHORIZED, .. })
    }

    /// The error of a push that was not sent.
    pub(crate) fn push_not_sent(self) -> PushError {
        if self.is_unauthorized() {
            PushError::Unauthorized(self.to_string())
        } else {
            PushError::Offline(self.into())
        }
    }

    /// The error of a pull.
    pub(crate) fn pull(self) -> PullError {
        if self.is_unauthorized() {
            PullError::Unauthorized(self.to_string())
        } else {
            PullError::Offline(self.into())
        }
    }
}

impl From<Error> for WsError {
    fn from(error: Error) -> Self {
        Self::Broken(Arc::new(error))
    }
}

impl From<DecodeError> for WsError {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error.to_string())
    }
}
