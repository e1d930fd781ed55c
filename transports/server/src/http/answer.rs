//! How answers look: a form in the encoding that the client asked for; for each error one status, and always JSON.

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use livestore_traits::{ProviderError, PullError, PushError};
use livestore_wire::{Encoding, ErrorAnswer, PullErrorForm, PushErrorForm, QueryError, RequestErrorForm};
use serde::Serialize;

use crate::authorizer::{AccessDenied, PushDenied};
use crate::lifecycle::Phase;
use crate::router::status;
use crate::service::SyncBody;
use crate::ws::HandshakeError;

/// The encoding a client wants to read.
pub(crate) fn encoding_of(headers: &HeaderMap) -> Encoding {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).map_or(Encoding::Json, Encoding::from_header)
}

pub(crate) fn empty() -> SyncBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn full(bytes: Bytes) -> SyncBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Answers that depend on the moment must not be kept by anybody.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// What a 401 has to name: the way to show credentials.
const CHALLENGE: HeaderValue = HeaderValue::from_static("LiveStore header=\"livestore-payload\"");

fn form<T: Serialize>(status: StatusCode, encoding: Encoding, form: &T) -> Response<SyncBody> {
    bytes(status, encoding, encoding.encode(form))
}

/// An answer whose form is encoded already.
pub(crate) fn bytes(status: StatusCode, encoding: Encoding, bytes: Bytes) -> Response<SyncBody> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// What people read and programs don't.
pub(crate) fn text(status: StatusCode, message: impl Into<Bytes>) -> Response<SyncBody> {
    let mut response = Response::new(full(message.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

pub(crate) fn ok<T: Serialize>(encoding: Encoding, value: &T) -> Response<SyncBody> {
    form(StatusCode::OK, encoding, value)
}

/// Whether the server takes work: what a load balancer asks.
pub(crate) fn health(phase: Phase) -> Response<SyncBody> {
    #[derive(Serialize)]
    struct Health {
        status: &'static str,
    }
    match phase {
        Phase::Serving => form(StatusCode::OK, Encoding::Json, &Health { status: "ok" }),
        Phase::Draining | Phase::Stopped => {
            form(StatusCode::SERVICE_UNAVAILABLE, Encoding::Json, &Health { status: "draining" })
        }
    }
}

/// A request that is not answered as it hoped.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: RefusedWith,
    message: String,
    /// The method that the path takes instead.
    allow: Option<&'static str>,
}

#[derive(Debug)]
enum RefusedWith {
    Request(RequestErrorForm),
    Push(Box<PushErrorForm>),
    Pull(PullErrorForm),
}

impl Refusal {
    pub(crate) fn new(error: RequestErrorForm, message: impl Into<String>) -> Self {
        Self {
            status: status(error),
            error: RefusedWith::Request(error),
            message: message.into(),
            allow: None,
        }
    }

    pub(crate) fn method(allowed: &'static str) -> Self {
        let refusal = Self::new(RequestErrorForm::MethodNotAllowed, format!("this path takes {allowed}"));
        Self { allow: Some(allowed), ..refusal }
    }

    pub(crate) fn push(error: PushError) -> Self {
        if let PushError::Backend { backend, source } = &error {
            tracing::error!(backend, error = source, "a push failed");
        }
        let message = error.to_string();
        let error = PushErrorForm::from(error);
        Self { status: push_status(&error), error: RefusedWith::Push(Box::new(error)), message, allow: None }
    }

    pub(crate) fn pull(error: PullError) -> Self {
        if let PullError::Backend { backend, source } = &error {
            tracing::error!(backend, error = source, "a pull failed");
        }
        let message = error.to_string();
        let error = PullErrorForm::from(error);
        Self { status: pull_status(&error), error: RefusedWith::Pull(error), message, allow: None }
    }

    /// Always JSON, whatever the client prefers: it tells apart what the kinds of errors call themselves.
    pub(crate) fn answer(self) -> Response<SyncBody> {
        let Self { status, error, message, allow } = self;
        let mut response = match error {
            RefusedWith::Request(error) => form(status, Encoding::Json, &ErrorAnswer { error, message }),
            RefusedWith::Push(error) => form(status, Encoding::Json, &ErrorAnswer { error, message }),
            RefusedWith::Pull(error) => form(status, Encoding::Json, &ErrorAnswer { error, message }),
        };
        let headers = response.headers_mut();
        if let Some(allow) = allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            ask_for_upgrade(headers);
        }
        response
    }
}

/// Says what a 426 has to say.
pub(crate) fn ask_for_upgrade(headers: &mut HeaderMap) {
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        let form = match error {
            HandshakeError::NoUpgrade => RequestErrorForm::UpgradeRequired,
            HandshakeError::NoKey | HandshakeError::Subprotocol(_) => RequestErrorForm::BadRequest,
        };
        Self::new(form, error.to_string())
    }
}

impl From<AccessDenied> for Refusal {
    fn from(denied: AccessDenied) -> Self {
        let form = match denied {
            AccessDenied::Unauthenticated(_) => RequestErrorForm::Unauthenticated,
            AccessDenied::Forbidden(_) => RequestErrorForm::Forbidden,
            AccessDenied::Unavailable(_) => RequestErrorForm::Busy,
        };
        Self::new(form, denied.to_string())
    }
}

impl From<PushDenied> for Refusal {
    fn from(denied: PushDenied) -> Self {
        match denied {
            PushDenied::Rejected(rejection) => Self::push(PushError::Rejected(rejection)),
            PushDenied::Denied(denied) => denied.into(),
        }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Self::new(RequestErrorForm::BadRequest, error.to_string())
    }
}

impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        match &error {
            ProviderError::TooManyStores { .. } => Self::new(RequestErrorForm::Busy, error.to_string()),
            error => {
                tracing::error!(error = error as &dyn std::error::Error, "a store could not be opened");
                Self::new(RequestErrorForm::Unavailable, error.to_string())
            }
        }
    }
}

const fn push_status(error: &PushErrorForm) -> StatusCode {
    match error {
        PushErrorForm::UpstreamAhead { .. } | PushErrorForm::Diverged(_) | PushErrorForm::ClientIdTaken => {
            StatusCode::CONFLICT
        }
        PushErrorForm::Rejected { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        PushErrorForm::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        PushErrorForm::Invalid(_) => StatusCode::BAD_REQUEST,
        PushErrorForm::Unauthorized(_) => StatusCode::UNAUTHORIZED,
        PushErrorForm::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        PushErrorForm::Offline(_) => StatusCode::BAD_GATEWAY,
        PushErrorForm::Unacknowledged(_) => StatusCode::GATEWAY_TIMEOUT,
        PushErrorForm::Backend(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn pull_status(error: &PullErrorForm) -> StatusCode {
    match error {
        PullErrorForm::Diverged(_) => StatusCode::CONFLICT,
        PullErrorForm::Trimmed { .. } => StatusCode::GONE,
        PullErrorForm::Invalid(_) => StatusCode::BAD_REQUEST,
        PullErrorForm::Unauthorized(_) => StatusCode::UNAUTHORIZED,
        PullErrorForm::Offline(_) => StatusCode::BAD_GATEWAY,
        PullErrorForm::Backend(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
