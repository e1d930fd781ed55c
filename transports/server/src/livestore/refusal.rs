//! How a request of a LiveStore client is refused before it is one: in text, with the statuses of the reference server.

use http::{Response, StatusCode};

use crate::authorizer::AccessDenied;
use crate::http::{ask_for_upgrade, text};
use crate::service::SyncBody;
use crate::ws::HandshakeError;

/// Somebody may not have the store. Clients look at the status only in so far as it is not the one they hoped for.
pub(crate) fn denied(denied: &AccessDenied) -> Response<SyncBody> {
    let status = match denied {
        AccessDenied::Unauthenticated(_) | AccessDenied::Forbidden(_) => StatusCode::BAD_REQUEST,
        AccessDenied::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    text(
        status,
        format!(r#"UnknownError: {{ "cause": Error: {denied}, "note": undefined, "payload": undefined }}"#),
    )
}

/// Somebody asks for a WebSocket in a way that gives none.
pub(crate) fn no_handshake(error: HandshakeError) -> Response<SyncBody> {
    match error {
        HandshakeError::NoUpgrade => {
            let mut response = text(StatusCode::UPGRADE_REQUIRED, "Expected Upgrade: websocket");
            ask_for_upgrade(response.headers_mut());
            response
        }
        HandshakeError::NoKey | HandshakeError::Subprotocol(_) => {
            text(StatusCode::BAD_REQUEST, error.to_string())
        }
    }
}
