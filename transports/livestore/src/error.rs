//! Why there is no answer, and what the server's failures mean.

use std::error::Error;
use std::sync::Arc;

use livestore_dial::DialError;
use livestore_traits::{GlobalSeq, PullError, PushError};
use livestore_wire::DecodeError;
use livestore_wire::livestore::{Defect, Failure, RpcError};

use crate::BACKEND;

/// What a server of ours calls a batch that it will never take.
const REJECTED: &str = "RejectedError";
/// What a server of ours calls a request that is not allowed.
const UNAUTHORIZED: &str = "UnauthorizedError";
/// How the reference server begins the body of a refusal by its `validatePayload`.
const REFUSED_PAYLOAD: &str = "UnknownError";
/// How much of a server's words is repeated, in characters.
const MAX_QUOTED_CHARS: usize = 300;

/// Why a request has no answer that can be used, or what the server says went wrong. The source of
/// [`PushError::Offline`] and its like.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveStoreError {
    /// There is nothing to show to the server; nothing was sent.
    #[error("the source of the sync payload failed")]
    Payload(#[source] Arc<dyn Error + Send + Sync>),
    /// The server could not be reached; nothing was sent.
    #[error(transparent)]
    Connect(#[from] DialError),
    /// The server, or a proxy before it, refused the connection or the request.
    #[error("the server answered with status {status}: {message}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// What it says.
        message: String,
    },
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
    Broken(#[source] Arc<dyn Error + Send + Sync>),
    /// The connection ended without a word.
    #[error("the connection ended")]
    Ended,
    /// The server broke the rules of the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The server failed, or refused for a reason of its own.
    #[error("the server failed: {0}")]
    Failed(String),
    /// The server gave up the request.
    #[error("the server interrupted the request")]
    Interrupted,
    /// What the server sent made this side panic; a bug, of which only the connection is to suffer.
    #[error("the connection was given up: what the server sent made its reader panic")]
    Panicked,
    /// The runtime that drives the connection is gone.
    #[error("the runtime of the connection has shut down")]
    NoRuntime,
}

impl LiveStoreError {
    pub(crate) fn broken(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Broken(error.into().into())
    }

    pub(crate) fn refused(status: ::http::StatusCode, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let message = match text.trim() {
            "" => status.canonical_reason().unwrap_or("no reason given").to_owned(),
            text => quoted(text),
        };
        Self::Refused { status: status.as_u16(), message }
    }

    pub(crate) fn defect(defect: &Defect) -> Self {
        Self::Failed(words(defect))
    }

    /// Whether the server wants other credentials, or those it took have expired.
    fn is_unauthorized(&self) -> bool {
        match self {
            Self::Refused { status: 401 | 403, .. } => true,
            Self::Refused { status: 400, message } => message.starts_with(REFUSED_PAYLOAD),
            Self::Closed { code, .. } => *code == livestore_wire::CLOSE_UNAUTHORIZED,
            _ => false,
        }
    }

    /// The error of a push of which nothing was sent.
    pub(crate) fn push_not_sent(self) -> PushError {
        if self.is_unauthorized() {
            PushError::Unauthorized(self.to_string())
        } else {
            PushError::Offline(self.into())
        }
    }

    /// The error of a push that may have arrived.
    pub(crate) fn push_sent(self) -> PushError {
        match self {
            Self::Payload(_) | Self::Connect(_) | Self::Refused { status: 400..=499, .. } => {
                self.push_not_sent()
            }
            Self::Failed(_) => PushError::Backend { backend: BACKEND, source: self.into() },
            _ => PushError::Unacknowledged(self.into()),
        }
    }

    /// The error of a pull.
    pub(crate) fn pull(self) -> PullError {
        match self {
            error if error.is_unauthorized() => PullError::Unauthorized(error.to_string()),
            Self::Failed(_) | Self::Protocol(_) => {
                PullError::Backend { backend: BACKEND, source: self.into() }
            }
            _ => PullError::Offline(self.into()),
        }
    }
}

impl From<DecodeError> for LiveStoreError {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Why a push was not accepted.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server will never take this batch; the words say why.
    Rejected(String),
    /// Anything else.
    Other(PushError),
}

impl From<LiveStoreError> for Refusal {
    fn from(error: LiveStoreError) -> Self {
        Self::Other(error.push_sent())
    }
}

/// What the failure of a push means.
pub(crate) fn push_refused(failure: Failure) -> Refusal {
    let failed = |message| Refusal::from(LiveStoreError::Failed(message));
    match failure {
        Failure::Error(RpcError::ServerAhead { minimum_expected_num, .. }) => {
            Refusal::Other(PushError::UpstreamAhead { head: GlobalSeq(minimum_expected_num), missing: None })
        }
        Failure::Error(RpcError::BackendIdMismatch { expected, received }) => {
            Refusal::Other(PushError::Diverged(other_backend(&expected, &received)))
        }
        Failure::Error(RpcError::Unknown { cause, note, .. }) => {
            let words = with_note(&cause, note);
            match name(&cause) {
                REJECTED => Refusal::Rejected(words),
                UNAUTHORIZED => Refusal::Other(PushError::Unauthorized(words)),
                // Whether it passes or stays cannot be told, and a batch that was refused for no good would be lost.
                _ => failed(words),
            }
        }
        Failure::Die(defect) => failed(words(&defect)),
        Failure::Interrupt => LiveStoreError::Interrupted.into(),
    }
}

/// What the failure of a pull means.
pub(crate) fn pull_failed(failure: Failure) -> PullError {
    match failure {
        Failure::Error(RpcError::BackendIdMismatch { expected, received }) => {
            PullError::Diverged(other_backend(&expected, &received))
        }
        Failure::Error(RpcError::Unknown { cause, note, .. }) if name(&cause) == UNAUTHORIZED => {
            PullError::Unauthorized(with_note(&cause, note))
        }
        Failure::Error(RpcError::Unknown { cause, note, .. }) => {
            LiveStoreError::Failed(with_note(&cause, note)).pull()
        }
        Failure::Error(RpcError::ServerAhead { .. }) => {
            LiveStoreError::Protocol("a pull is answered like a push".to_owned()).pull()
        }
        Failure::Die(defect) => LiveStoreError::defect(&defect).pull(),
        Failure::Interrupt => LiveStoreError::Interrupted.pull(),
    }
}

fn other_backend(expected: &str, received: &str) -> String {
    format!("its id was {} and is {}", quoted(received), quoted(expected))
}

fn name(defect: &Defect) -> &str {
    match defect {
        Defect::Error { name, .. } => name,
        Defect::Text(_) | Defect::Other(_) => "",
    }
}

fn words(defect: &Defect) -> String {
    quoted(&match defect {
        Defect::Text(text) => text.clone(),
        Defect::Error { message, .. } if !message.is_empty() => message.clone(),
        Defect::Error { name, .. } => name.clone(),
        Defect::Other(value) => value.to_string(),
    })
}

fn with_note(cause: &Defect, note: Option<String>) -> String {
    let words = words(cause);
    note.map_or(words.clone(), |note| format!("{words} ({})", quoted(&note)))
}

fn quoted(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_QUOTED_CHARS).collect()
}
