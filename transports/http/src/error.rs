//! Why a request has no answer, and what an answer that is no success means.

use http::StatusCode;
use livestore_dial::DialError;
use livestore_traits::{BoxError, PullError, PushError};
use livestore_wire::{DecodeError, ErrorAnswer, PullErrorForm, PushErrorForm, RequestErrorForm};

use crate::exchange::Answer;

/// Why a request has no answer that can be used. The source of [`PushError::Offline`] and its like.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// There is nothing to show to the server; nothing was sent.
    #[error("the source of the sync payload failed")]
    Payload(#[source] BoxError),
    /// The server could not be reached; nothing was sent.
    #[error(transparent)]
    Connect(DialError),
    /// The connection broke before the answer was there.
    #[error("the connection broke")]
    Broken(#[source] BoxError),
    /// The server took too long.
    #[error("the server did not answer in time")]
    Timeout,
    /// The answer is not what this protocol says.
    #[error("the answer cannot be read")]
    Malformed(#[source] DecodeError),
    /// The server, or a proxy before it, does not serve this request.
    #[error("the server answered with status {status}: {message}")]
    Status {
        /// The status.
        status: u16,
        /// What the server says.
        message: String,
    },
}

/// An answer that is no success and that no backend gave.
struct Refused {
    status: StatusCode,
    message: String,
}

impl Refused {
    fn read(answer: &Answer) -> Self {
        let message = match answer.decode::<ErrorAnswer<RequestErrorForm>>() {
            Ok(refused) => refused.message,
            // Not a server of ours.
            Err(_) => answer.status.canonical_reason().unwrap_or("unknown").to_owned(),
        };
        Self { status: answer.status, message }
    }
}

impl From<Refused> for HttpError {
    fn from(refused: Refused) -> Self {
        Self::Status { status: refused.status.as_u16(), message: refused.message }
    }
}

/// What went wrong with a push that was answered with an error.
pub(crate) fn push_refused(answer: &Answer) -> PushError {
    if let Ok(refused) = answer.decode::<ErrorAnswer<PushErrorForm>>() {
        return refused.error.into();
    }
    let refused = Refused::read(answer);
    match refused.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PushError::Unauthorized(refused.message),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            PushError::Busy(refused.message)
        }
        status if status.is_client_error() => PushError::Invalid(refused.message),
        // For example a proxy that lost the server while it stored the batch.
        _ => PushError::Unacknowledged(HttpError::from(refused).into()),
    }
}

/// What went wrong with a pull that was answered with an error.
pub(crate) fn pull_refused(answer: &Answer) -> PullError {
    if let Ok(refused) = answer.decode::<ErrorAnswer<PullErrorForm>>() {
        return refused.error.into();
    }
    let refused = Refused::read(answer);
    match refused.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PullError::Unauthorized(refused.message),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            PullError::Offline(HttpError::from(refused).into())
        }
        status if status.is_client_error() => PullError::Invalid(refused.message),
        _ => PullError::Offline(HttpError::from(refused).into()),
    }
}

impl HttpError {
    pub(crate) fn push(self) -> PushError {
        match self {
            Self::Payload(_) | Self::Connect(_) => PushError::Offline(self.into()),
            _ => PushError::Unacknowledged(self.into()),
        }
    }

    pub(crate) fn pull(self) -> PullError {
        PullError::Offline(self.into())
    }
}
