//! Where the server is, and the bounds of a request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use livestore_dial::{Connector, HTTP_SCHEMES, Roots};
use livestore_traits::StoreId;
use livestore_wire::{Encoding, InvalidUrl, PayloadSource, StoreUrl};

/// How an [`HttpBackend`](crate::HttpBackend) reaches its store.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpConfig {
    pub(crate) url: StoreUrl,
    /// Sent with every request, for example `authorization`. Never printed.
    pub headers: HeaderMap,
    /// What the server decides by what this client may do, asked for before each request. Never printed.
    pub payload: Option<Arc<dyn PayloadSource>>,
    /// Whose certificates to trust.
    pub roots: Roots,
    /// Another way to the server than TCP, for example through a proxy.
    pub connector: Option<Arc<dyn Connector>>,
    /// How messages are written: compact by default.
    pub encoding: Encoding,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take, beside the time that a long poll waits.
    pub request_timeout: Duration,
    /// How long a live pull lets the server wait for an event. Servers wait for at most 60 seconds by default.
    pub poll_wait: Duration,
    /// The largest answer, in bytes.
    pub max_answer_bytes: usize,
    /// The most connections kept open without a request.
    pub max_idle_connections: usize,
    /// How long such a connection is kept. Servers close them after 30 seconds by default.
    pub idle_timeout: Duration,
}

impl HttpConfig {
    /// The store `store_id` at the server `url`: `https://host`, `http://host:port`, or either with a path under which
    /// the server is mounted.
    ///
    /// # Errors
    /// [`InvalidUrl`] if the text is anything else.
    pub fn new(url: &str, store_id: StoreId) -> Result<Self, InvalidUrl> {
        Ok(Self {
            url: StoreUrl::new(HTTP_SCHEMES, url, store_id)?,
            headers: HeaderMap::new(),
            payload: None,
            roots: Roots::public(),
            connector: None,
            encoding: Encoding::Postcard,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            poll_wait: Duration::from_secs(25),
            max_answer_bytes: 16 * 1024 * 1024,
            max_idle_connections: 4,
            idle_timeout: Duration::from_secs(20),
        })
    }
}

impl fmt::Debug for HttpConfig {
    /// Leaves out the headers and the payload: they may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("url", &self.url)
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}
