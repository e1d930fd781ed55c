//! One request and its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use livestore_dial::{DialError, Dialer};
use livestore_wire::{DecodeError, Encoding, PAYLOAD_HEADER, PayloadSource, SyncPayload};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{HttpConfig, HttpError};

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Connections {
    client: Client<Dialer, Full<Bytes>>,
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    encoding: Encoding,
    body: Bytes,
}

impl Answer {
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.encoding.decode(&self.body)
    }
}

impl Connections {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(config.max_idle_connections)
            .pool_idle_timeout(config.idle_timeout)
            .build(Dialer::new(&config.roots, config.connector.clone(), config.connect_timeout));
        Self { client }
    }

    /// Sends a request and reads its answer, whatever the status.
    pub(crate) async fn send(
        &self,
        config: &HttpConfig,
        method: Method,
        uri: Uri,
        body: Bytes,
        patience: Duration,
    ) -> Result<Answer, HttpError> {
        let payload = match &config.payload {
            Some(source) => Some(payload(source.as_ref(), config.request_timeout).await?),
            None => None,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let content_type = http::HeaderValue::from_static(config.encoding.content_type());
        let headers = request.headers_mut();
        headers.clone_from(&config.headers);
        headers.insert(ACCEPT, content_type.clone());
        headers.insert(CONTENT_TYPE, content_type);
        if let Some(payload) = payload {
            headers.insert(PAYLOAD_HEADER, payload.to_header());
        }
        timeout(patience, self.exchange(request, config.max_answer_bytes))
            .await
            .map_err(|_| HttpError::Timeout)?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, max_bytes: usize) -> Result<Answer, HttpError> {
        let response = self.client.request(request).await.map_err(|error| {
            DialError::of_request(&error).map_or_else(|| HttpError::Broken(error.into()), HttpError::Connect)
        })?;
        let (head, body) = response.into_parts();
        let encoding = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map_or(Encoding::Json, Encoding::from_header);
        let body = Limited::new(body, max_bytes).collect().await.map_err(HttpError::Broken)?.to_bytes();
        Ok(Answer { status: head.status, encoding, body })
    }
}

/// What the source has to show now.
async fn payload(source: &dyn PayloadSource, patience: Duration) -> Result<SyncPayload, HttpError> {
    let payload = timeout(patience, source.payload()).await;
    payload.unwrap_or_else(|_| Err("it took too long".into())).map_err(HttpError::Payload)
}
