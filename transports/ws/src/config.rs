//! Where to connect, and the bounds of a connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Uri};
use livestore_dial::{Connector, Roots, WS_SCHEMES};
use livestore_traits::StoreId;
use livestore_wire::{Endpoint, InvalidUrl, PayloadSource, StoreUrl};

/// How a [`WsBackend`](crate::WsBackend) reaches its store.
#[derive(Clone)]
#[non_exhaustive]
pub struct WsConfig {
    /// The server and the path of the store's WebSocket.
    pub(crate) uri: Uri,
    /// Sent with every handshake, for example `authorization`. Never printed.
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
    /// After how long a time of saying nothing to ping. Servers close connections that are silent for 60 seconds.
    pub ping_interval: Duration,
    /// How long nothing may come after a ping before the connection counts as broken.
    pub pong_timeout: Duration,
    /// The largest message taken from the server, in bytes.
    pub max_frame_bytes: usize,
    /// How many bytes of pages each pull lets the server send ahead of its reader.
    pub pull_window_bytes: u32,
    /// The most pushes on the way at once; further ones wait.
    pub max_pushes_in_flight: usize,
}

impl WsConfig {
    /// The store `store_id` at the server `url`: `wss://host`, `ws://host:port`, or either with a path under which the
    /// server is mounted.
    ///
    /// # Errors
    /// [`InvalidUrl`] if the text is anything else.
    pub fn new(url: &str, store_id: StoreId) -> Result<Self, InvalidUrl> {
        let url = StoreUrl::new(WS_SCHEMES, url, store_id)?;
        Ok(Self {
            uri: url.endpoint(&Endpoint::Sync, None),
            headers: HeaderMap::new(),
            payload: None,
            roots: Roots::public(),
            connector: None,
            connect_timeout: Duration::from_secs(10),
            min_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(20),
            ping_interval: Duration::from_secs(20),
            pong_timeout: Duration::from_secs(10),
            max_frame_bytes: 16 * 1024 * 1024,
            pull_window_bytes: 4 * 1024 * 1024,
            max_pushes_in_flight: 32,
        })
    }
}

impl fmt::Debug for WsConfig {
    /// Leaves out the headers and the payload: they may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsConfig").field("uri", &self.uri).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_never_printed() {
        let mut config = WsConfig::new("ws://a", StoreId::new("todo").unwrap()).unwrap();
        config.headers.insert("authorization", "Bearer secret".parse().unwrap());
        assert!(!format!("{config:?}").contains("secret"));
    }
}
