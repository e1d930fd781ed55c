//! How a WebSocket comes about.
//!
//! As a request of hyper's, because a server that refuses says why in the body of its answer.

use std::sync::Arc;

use ::http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use ::http::{HeaderValue, Request, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use livestore_dial::{Dialer, Heard};
use livestore_wire::SyncPayload;
use livestore_wire::livestore::Transport;
use sha1_smol::Sha1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_websockets::client::DISALLOWED_HEADERS;
use tokio_websockets::{ClientBuilder, Limits, WebSocketStream};

use crate::{LiveStoreError, LiveStoreWsConfig};

/// From RFC 6455.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How much of the reason for a refusal is read.
const MAX_REFUSAL_BYTES: usize = 4096;

/// Makes WebSockets.
pub(super) trait Connect: Send + 'static {
    /// What they run over.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin;

    fn connect(
        &self,
        payload: Option<&SyncPayload>,
    ) -> impl Future<Output = Result<WebSocketStream<Heard<Self::Stream>>, LiveStoreError>> + Send;
}

/// Makes them to the server of a config.
pub(super) struct Handshake {
    config: Arc<LiveStoreWsConfig>,
    dialer: Dialer,
}

impl Handshake {
    pub(super) fn new(config: Arc<LiveStoreWsConfig>) -> Self {
        let dialer = Dialer::new(&config.roots, config.connector.clone(), config.connect_timeout);
        Self { dialer, config }
    }

    fn request(&self, payload: Option<&SyncPayload>, key: &str) -> Request<Empty<Bytes>> {
        let uri = self.config.url.uri(Transport::Ws, payload);
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = target.parse().expect("a part of a URI");
        let headers = request.headers_mut();
        headers.clone_from(&self.config.headers);
        for name in DISALLOWED_HEADERS {
            headers.remove(name);
        }
        let value = |text: &str| HeaderValue::from_str(text).expect("hosts and base64 are visible ASCII");
        headers.insert(HOST, value(host));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, value(key));
        request
    }
}

impl Connect for Handshake {
    type Stream = TokioIo<Upgraded>;

    async fn connect(
        &self,
        payload: Option<&SyncPayload>,
    ) -> Result<WebSocketStream<Heard<Self::Stream>>, LiveStoreError> {
        let uri = self.config.url.uri(Transport::Ws, payload);
        let stream = self.dialer.dial(&uri).await?.into_inner();
        let (mut sender, connection) = http1::handshake(stream).await.map_err(LiveStoreError::broken)?;
        // It ends with the sender, or lends the stream out.
        tokio::spawn(connection.with_upgrades());
        let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
        let request = self.request(payload, &key);
        let response = sender.send_request(request).await.map_err(LiveStoreError::broken)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        if response.headers().get(SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| *accept != answer_to(&key)) {
            return Err(LiveStoreError::Protocol("it switched protocols, but not to this one".to_owned()));
        }
        let stream = hyper::upgrade::on(response).await.map_err(LiveStoreError::broken)?;
        let limits = Limits::default().max_payload_len(Some(self.config.max_frame_bytes));
        Ok(ClientBuilder::new().limits(limits).take_over(Heard::new(TokioIo::new(stream))))
    }
}

/// What a server makes of a key, to show that it speaks WebSocket.
fn answer_to(key: &str) -> String {
    let mut digest = Sha1::from(key.as_bytes());
    digest.update(GUID);
    STANDARD.encode(digest.digest().bytes())
}

async fn refusal(response: Response<Incoming>) -> LiveStoreError {
    let (head, body) = response.into_parts();
    // The status says enough if the body does not come.
    let body = Limited::new(body, MAX_REFUSAL_BYTES).collect().await;
    let text = body.map(|body| body.to_bytes()).unwrap_or_default();
    LiveStoreError::refused(head.status, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        assert_eq!(answer_to("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
