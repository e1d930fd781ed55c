//! Errors on the wire: each variant travels as itself, its source as text.

use livestore_traits::{GlobalSeq, Limits, PullError, PullPage, PushError, RejectCode, Rejection};
use serde::{Deserialize, Serialize};

use crate::PageForm;
use crate::store_form::LimitsForm;

/// What a server said of an error whose source stayed there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RemoteError(pub String);

/// The name under which a failure behind a server is reported; which backend it was stands in the source.
const REMOTE: &str = "remote";

/// The written shape of a [`PushError`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "as the variants of PushError")]
pub enum PushErrorForm {
    UpstreamAhead { head: GlobalSeq, missing: Option<Box<PageForm>> },
    Diverged(String),
    ClientIdTaken,
    Rejected { index: usize, code: RejectCodeForm, message: String },
    TooLarge(#[serde(with = "LimitsForm")] Limits),
    Invalid(String),
    Unauthorized(String),
    Busy(String),
    Offline(String),
    Unacknowledged(String),
    Backend(String),
}

/// The written shape of a [`RejectCode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "as the variants of RejectCode")]
pub enum RejectCodeForm {
    TooLarge,
    Forbidden,
    Policy(String),
}

impl From<PushError> for PushErrorForm {
    fn from(error: PushError) -> Self {
        match error {
            PushError::UpstreamAhead { head, missing } => {
                Self::UpstreamAhead { head, missing: missing.map(|page| Box::new(PageForm::from(*page))) }
            }
            PushError::Diverged(reason) => Self::Diverged(reason),
            PushError::ClientIdTaken => Self::ClientIdTaken,
            PushError::Rejected(Rejection { index, code, message }) => {
                Self::Rejected { index, code: code.into(), message }
            }
            PushError::TooLarge { limits } => Self::TooLarge(limits),
            PushError::Invalid(reason) => Self::Invalid(reason),
            PushError::Unauthorized(reason) => Self::Unauthorized(reason),
            PushError::Busy(reason) => Self::Busy(reason),
            PushError::Offline(source) => Self::Offline(source.to_string()),
            PushError::Unacknowledged(source) => Self::Unacknowledged(source.to_string()),
            // A new variant says at least that the push failed there; the outcome is open, as for a failed backend.
            error => Self::Backend(error.to_string()),
        }
    }
}

impl From<PushErrorForm> for PushError {
    fn from(form: PushErrorForm) -> Self {
        match form {
            PushErrorForm::UpstreamAhead { head, missing } => {
                // Without the page, or with one that makes no sense, the client pulls by itself.
                let missing = missing.and_then(|page| PullPage::try_from(*page).ok()).map(Box::new);
                Self::UpstreamAhead { head, missing }
            }
            PushErrorForm::Diverged(reason) => Self::Diverged(reason),
            PushErrorForm::ClientIdTaken => Self::ClientIdTaken,
            PushErrorForm::Rejected { index, code, message } => {
                Self::Rejected(Rejection { index, code: code.into(), message })
            }
            PushErrorForm::TooLarge(limits) => Self::TooLarge { limits },
            PushErrorForm::Invalid(reason) => Self::Invalid(reason),
            PushErrorForm::Unauthorized(reason) => Self::Unauthorized(reason),
            PushErrorForm::Busy(reason) => Self::Busy(reason),
            PushErrorForm::Offline(reason) => Self::Offline(RemoteError(reason).into()),
            PushErrorForm::Unacknowledged(reason) => Self::Unacknowledged(RemoteError(reason).into()),
            PushErrorForm::Backend(reason) => {
                Self::Backend { backend: REMOTE, source: RemoteError(reason).into() }
            }
        }
    }
}

impl From<RejectCode> for RejectCodeForm {
    fn from(code: RejectCode) -> Self {
        match code {
            RejectCode::TooLarge => Self::TooLarge,
            RejectCode::Forbidden => Self::Forbidden,
            RejectCode::Policy(name) => Self::Policy(name),
            code => Self::Policy(code.to_string()),
        }
    }
}

impl From<RejectCodeForm> for RejectCode {
    fn from(form: RejectCodeForm) -> Self {
        match form {
            RejectCodeForm::TooLarge => Self::TooLarge,
            RejectCodeForm::Forbidden => Self::Forbidden,
            RejectCodeForm::Policy(name) => Self::Policy(name),
        }
    }
}

/// The written shape of a [`PullError`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "as the variants of PullError")]
pub enum PullErrorForm {
    Diverged(String),
    Trimmed { first: GlobalSeq },
    Invalid(String),
    Unauthorized(String),
    Offline(String),
    Backend(String),
}

impl From<PullError> for PullErrorForm {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Diverged(reason) => Self::Diverged(reason),
            PullError::Trimmed { first } => Self::Trimmed { first },
            PullError::Invalid(reason) => Self::Invalid(reason),
            PullError::Unauthorized(reason) => Self::Unauthorized(reason),
            PullError::Offline(source) => Self::Offline(source.to_string()),
            error => Self::Backend(error.to_string()),
        }
    }
}

impl From<PullErrorForm> for PullError {
    fn from(form: PullErrorForm) -> Self {
        match form {
            PullErrorForm::Diverged(reason) => Self::Diverged(reason),
            PullErrorForm::Trimmed { first } => Self::Trimmed { first },
            PullErrorForm::Invalid(reason) => Self::Invalid(reason),
            PullErrorForm::Unauthorized(reason) => Self::Unauthorized(reason),
            PullErrorForm::Offline(reason) => Self::Offline(RemoteError(reason).into()),
            PullErrorForm::Backend(reason) => {
                Self::Backend { backend: REMOTE, source: RemoteError(reason).into() }
            }
        }
    }
}

/// Why an HTTP request was answered without asking a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RequestErrorForm {
    /// No such path, or nothing there (yet).
    NotFound,
    /// The path takes another method.
    MethodNotAllowed,
    /// Path, query, headers or body cannot be read.
    BadRequest,
    /// Credentials are missing, wrong or expired.
    Unauthenticated,
    /// Whoever asks may not do that.
    Forbidden,
    /// The WebSocket handshake asks for something this server does not speak.
    UpgradeRequired,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The body did not come in time.
    Timeout,
    /// A bound of the server is reached, or it is going away.
    Busy,
    /// The store could not be opened.
    Unavailable,
}

/// The body of every HTTP answer that is not a success: always JSON, where the names of all errors differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer<E> {
    /// What went wrong, for programs: the name of the variant, with its fields if it has any.
    pub error: E,
    /// What went wrong, for people.
    pub message: String,
}
