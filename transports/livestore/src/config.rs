//! Where to connect, and the bounds of what is sent and kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use livestore_dial::{Connector, HTTP_SCHEMES, Roots, WS_SCHEMES};
use livestore_traits::StoreId;
use livestore_wire::livestore::SyncUrl;
use livestore_wire::{InvalidUrl, PayloadSource};

/// How a [`LiveStoreWs`](crate::LiveStoreWs) reaches its store.
#[derive(Clone)]
#[non_exhaustive]
pub struct LiveStoreWsConfig {
    pub(crate) url: SyncUrl,
    /// Sent with every handshake. Never printed.
    pub headers: HeaderMap,
    /// What the server decides by what this client may do, asked for before each connection. Never printed.
    pub payload: Option<Arc<dyn PayloadSource>>,
    /// Whose certificates to trust.
    pub roots: Roots,
    /// Another way to the server than TCP, for example through a proxy.
    pub connector: Option<Arc<dyn Connector>>,
    /// How long connecting may take, up to the server's first message.
    pub connect_timeout: Duration,
    /// The first backoff, and the least time between two attempts.
    pub min_backoff: Duration,
    /// The longest backoff.
    pub max_backoff: Duration,
    /// How often to ping. The reference server answers without waking up.
    pub ping_interval: Duration,
    /// How long nothing may come after a ping before the connection counts as broken.
    pub pong_timeout: Duration,
    /// The largest message taken from the server, in bytes. Servers of this protocol send up to 900,000.
    pub max_frame_bytes: usize,
    /// How many bytes of messages each pull keeps for its reader. A reader that falls further behind is caught up later,
    /// at its own pace.
    pub pull_window_bytes: usize,
    /// The most pushes on the way at once; further ones wait. LiveStore's own clients have one.
    pub max_pushes_in_flight: usize,
}

impl LiveStoreWsConfig {
    /// The store `store_id` at the server `url`: `wss://host`, `ws://host:port`, or either with a path and a query.
    ///
    /// # Errors
    /// [`InvalidUrl`] if the text is anything else.
    pub fn new(url: &str, store_id: StoreId) -> Result<Self, InvalidUrl> {
        Ok(Self {
            url: SyncUrl::new(WS_SCHEMES, url, store_id)?,
            headers: HeaderMap::new(),
            payload: None,
            roots: Roots::public(),
            connector: None,
            connect_timeout: Duration::from_secs(10),
            min_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(20),
            ping_interval: Duration::from_secs(10),
            pong_timeout: Duration::from_secs(10),
            max_frame_bytes: 4 * 1024 * 1024,
            pull_window_bytes: 4 * 1024 * 1024,
            max_pushes_in_flight: 1,
        })
    }
}

/// How a [`LiveStoreHttp`](crate::LiveStoreHttp) reaches its store.
#[derive(Clone)]
#[non_exhaustive]
pub struct LiveStoreHttpConfig {
    pub(crate) url: SyncUrl,
    /// Sent with every request. Never printed.
    pub headers: HeaderMap,
    /// What the server decides by what this client may do, asked for before each request. Never printed.
    pub payload: Option<Arc<dyn PayloadSource>>,
    /// Whose certificates to trust.
    pub roots: Roots,
    /// Another way to the server than TCP, for example through a proxy.
    pub connector: Option<Arc<dyn Connector>>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take, and how long it may pause once it has begun.
    pub request_timeout: Duration,
    /// The largest part of an answer that is kept at once, in bytes. Servers of this protocol send up to 900,000.
    pub max_frame_bytes: usize,
    /// The most connections kept open without a request.
    pub max_idle_connections: usize,
    /// How long such a connection is kept.
    pub idle_timeout: Duration,
}

impl LiveStoreHttpConfig {
    /// The store `store_id` at the server `url`: `https://host`, `http://host:port`, or either with a path and a query.
    ///
    /// # Errors
    /// [`InvalidUrl`] if the text is anything else.
    pub fn new(url: &str, store_id: StoreId) -> Result<Self, InvalidUrl> {
        Ok(Self {
            url: SyncUrl::new(HTTP_SCHEMES, url, store_id)?,
            headers: HeaderMap::new(),
            payload: None,
            roots: Roots::public(),
            connector: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_frame_bytes: 4 * 1024 * 1024,
            max_idle_connections: 4,
            idle_timeout: Duration::from_secs(20),
        })
    }
}

macro_rules! debug_without_credentials {
    ($config:ident) => {
        impl fmt::Debug for $config {
            /// Leaves out headers and payload: they may hold credentials. So may a query of the URL's own.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($config)).field("store", self.url.store()).finish_non_exhaustive()
            }
        }
    };
}

debug_without_credentials!(LiveStoreWsConfig);
debug_without_credentials!(LiveStoreHttpConfig);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_printed() {
        let url = "ws://a/?key=secret";
        let mut config = LiveStoreWsConfig::new(url, StoreId::new("todo").unwrap()).unwrap();
        config.headers.insert("authorization", "Bearer secret".parse().unwrap());
        assert!(!format!("{config:?}").contains("secret"));
    }
}
