//! One request, and the frames that answer it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::http::header::{ACCEPT, CONTENT_TYPE};
use ::http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use livestore_dial::{DialError, Dialer};
use livestore_wire::SyncPayload;
use livestore_wire::livestore::{
    Call, ClientFrame, FrameArray, Request as RpcRequest, RequestContext, RequestId, ServerFrame, Transport,
};
use tokio::time::timeout;

use crate::{LiveStoreError, LiveStoreHttpConfig};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// As LiveStore's own clients send it.
const STORE_ID: HeaderName = HeaderName::from_static("x-livestore-store-id");
/// How much of the reason for a refusal is read.
const MAX_REFUSAL_BYTES: usize = 4096;

/// The connections to one server.
#[derive(Debug)]
pub(super) struct Connections {
    client: Client<Dialer, Full<Bytes>>,
    next_id: AtomicU64,
}

impl Connections {
    pub(super) fn new(config: &LiveStoreHttpConfig) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(config.max_idle_connections)
            .pool_idle_timeout(config.idle_timeout)
            .build(Dialer::new(&config.roots, config.connector.clone(), config.connect_timeout));
        Self { client, next_id: AtomicU64::new(0) }
    }

    /// Sends a request; the answer is read as far as its status.
    pub(super) async fn send(
        &self,
        config: &LiveStoreHttpConfig,
        call: Call,
    ) -> Result<Answer, LiveStoreError> {
        let payload = match &config.payload {
            Some(source) => {
                let payload = timeout(config.request_timeout, source.payload()).await;
                let payload = payload.unwrap_or_else(|_| Err("it took too long".into()));
                Some(payload.map_err(|error| LiveStoreError::Payload(error.into()))?)
            }
            None => None,
        };
        let request = self.request(config, call, payload.as_ref());
        let response = timeout(config.request_timeout, self.client.request(request))
            .await
            .map_err(|_| LiveStoreError::Timeout)?
            .map_err(|error| match DialError::of_request(&error) {
                Some(not_sent) => not_sent.into(),
                None => LiveStoreError::broken(error),
            })?;
        let (head, body) = response.into_parts();
        let patience = config.request_timeout;
        if head.status != StatusCode::OK {
            // The status says enough if the body does not come.
            let body = timeout(patience, Limited::new(body, MAX_REFUSAL_BYTES).collect()).await;
            let text = body.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
            return Err(LiveStoreError::refused(head.status, &text));
        }
        Ok(Answer { body, frames: FrameArray::new(config.max_frame_bytes), patience })
    }

    fn request(
        &self,
        config: &LiveStoreHttpConfig,
        call: Call,
        payload: Option<&SyncPayload>,
    ) -> Request<Full<Bytes>> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed).to_string();
        let frame = ClientFrame::Request(RpcRequest { id: RequestId::Text(id.into()), call });
        let store = config.url.store();
        let body = frame.encode(RequestContext { transport: Transport::Http, store, payload });
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = config.url.uri(Transport::Http, payload);
        let headers = request.headers_mut();
        headers.clone_from(&config.headers);
        headers.insert(ACCEPT, JSON);
        headers.insert(CONTENT_TYPE, JSON);
        let store = HeaderValue::from_str(store.as_str()).expect("store ids are visible ASCII");
        headers.insert(STORE_ID, store);
        request
    }
}

/// An answer that is being read.
#[derive(Debug)]
pub(super) struct Answer {
    body: Incoming,
    frames: FrameArray,
    patience: Duration,
}

impl Answer {
    /// The next frame, with its length; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(ServerFrame, usize)>, LiveStoreError> {
        loop {
            if let Some(frame) = self.frames.next_frame()? {
                return Ok(Some((ServerFrame::decode(&frame)?, frame.len())));
            }
            // A reader that takes its time is not the server's silence: only what is waited for here counts.
            let piece =
                timeout(self.patience, self.body.frame()).await.map_err(|_| LiveStoreError::Timeout)?;
            let Some(piece) = piece else {
                self.frames.finish()?;
                return Ok(None);
            };
            // Trailers say nothing.
            if let Ok(data) = piece.map_err(LiveStoreError::broken)?.into_data() {
                self.frames.feed(&data);
            }
        }
    }
}
