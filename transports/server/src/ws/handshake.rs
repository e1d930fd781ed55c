//! Which requests become a WebSocket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Version};
use sha1_smol::Sha1;

/// From RFC 6455.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request that may become a WebSocket of ours.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: String,
    subprotocol: Option<&'static str>,
}

/// Why it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("this path speaks WebSocket, version 13: send an upgrade")]
    NoUpgrade,
    #[error("the handshake has no Sec-WebSocket-Key")]
    NoKey,
    #[error("the subprotocol {0} is not offered, which this server speaks here")]
    Subprotocol(&'static str),
}

impl Handshake {
    /// Checks a request; one for a protocol with a name must offer that.
    pub(crate) fn check<B>(
        request: &Request<B>,
        subprotocol: Option<&'static str>,
    ) -> Result<Self, HandshakeError> {
        let headers = request.headers();
        let is_upgrade = request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && has_token(headers, &UPGRADE, "websocket")
            && has_token(headers, &CONNECTION, "upgrade")
            && has_token(headers, &SEC_WEBSOCKET_VERSION, "13");
        if !is_upgrade {
            return Err(HandshakeError::NoUpgrade);
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(HandshakeError::NoKey)?;
        if let Some(missing) = subprotocol.filter(|name| !has_token(headers, &SEC_WEBSOCKET_PROTOCOL, name)) {
            return Err(HandshakeError::Subprotocol(missing));
        }
        let mut digest = Sha1::from(key.as_bytes());
        digest.update(GUID);
        Ok(Self { accept: STANDARD.encode(digest.digest().bytes()), subprotocol })
    }

    /// The answer that switches protocols.
    pub(crate) fn answer<B>(&self, body: B) -> Response<B> {
        let mut answer = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, &self.accept);
        if let Some(subprotocol) = self.subprotocol {
            answer = answer.header(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        answer.body(body).expect("base64 and constants are valid header values")
    }
}

/// Whether a header that holds a list has `token` in it.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use livestore_wire::SUBPROTOCOL;

    use super::*;

    fn request() -> http::request::Builder {
        Request::get("/stores/a/sync")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "other, livestore.v1")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    #[test]
    fn the_key_is_answered_as_in_rfc_6455() {
        let handshake = Handshake::check(&request().body(()).unwrap(), Some(SUBPROTOCOL)).unwrap();
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(handshake.answer(()).headers()["sec-websocket-protocol"], "livestore.v1");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (header, error) in [
            ("connection", HandshakeError::NoUpgrade),
            ("upgrade", HandshakeError::NoUpgrade),
            ("sec-websocket-version", HandshakeError::NoUpgrade),
            ("sec-websocket-key", HandshakeError::NoKey),
            ("sec-websocket-protocol", HandshakeError::Subprotocol(SUBPROTOCOL)),
        ] {
            let mut request = request().body(()).unwrap();
            request.headers_mut().remove(header);
            assert_eq!(Handshake::check(&request, Some(SUBPROTOCOL)).unwrap_err(), error, "without {header}");
        }
        let unknown = request().body(()).unwrap();
        let (mut parts, ()) = unknown.into_parts();
        parts.headers.insert("sec-websocket-protocol", "livestore.v9".parse().unwrap());
        assert_eq!(
            Handshake::check(&Request::from_parts(parts, ()), Some(SUBPROTOCOL)).unwrap_err(),
            HandshakeError::Subprotocol(SUBPROTOCOL)
        );
    }

    #[test]
    fn a_protocol_without_a_name_ignores_what_is_offered() {
        let handshake = Handshake::check(&request().body(()).unwrap(), None).unwrap();
        assert!(!handshake.answer(()).headers().contains_key("sec-websocket-protocol"));
    }
}
