//! From a URL to the backend behind it.
//!
//! ```no_run
//! use livestore_connect::{Connect, SyncPayload};
//! use livestore_traits::StoreId;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = Connect::to("livestore+wss://sync.example.com", StoreId::new("todo")?)
//!     .payload(SyncPayload::from_json(r#"{"authToken": "let-me-in"}"#)?)
//!     .backend()?;
//! # Ok(())
//! # }
//! ```
//!
//! | URL | what speaks |
//! | --- | --- |
//! | `ws://`, `wss://` | the native WebSocket of a `livestore-server` |
//! | `http://`, `https://` | its native HTTP long-poll |
//! | `livestore+ws://`, `livestore+wss://` | LiveStore's own protocol over WebSocket |
//! | `livestore+http://`, `livestore+https://` | LiveStore's own protocol over HTTP, polled by the engine |
//!
//! Each transport is a feature, and so is TLS; all are on by default.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use livestore_traits::{StoreId, SyncBackend};

pub use livestore_dial::{ByteStream, Connector, InvalidRoot, Roots};
pub use livestore_wire::{InvalidPayload, InvalidUrl, PayloadSource, SyncPayload};

/// What a URL of LiveStore's own protocol begins with.
#[cfg(feature = "livestore")]
const LIVESTORE: &str = "livestore+";

/// A store at a server, and what to show there.
#[derive(Clone)]
pub struct Connect {
    url: String,
    store: StoreId,
    payload: Option<Arc<dyn PayloadSource>>,
    headers: HeaderMap,
    roots: Roots,
    connector: Option<Arc<dyn Connector>>,
}

/// A URL leads to no backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Its scheme is none of those that this program speaks.
    #[error("invalid server URL {url:?}: it must begin with {}", list(&schemes()))]
    Scheme {
        /// The URL.
        url: String,
    },
    /// The rest of it is wrong.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
}

impl Connect {
    /// The store `store` at the server `url`.
    #[must_use]
    pub fn to(url: impl Into<String>, store: StoreId) -> Self {
        Self {
            url: url.into(),
            store,
            payload: None,
            headers: HeaderMap::new(),
            roots: Roots::public(),
            connector: None,
        }
    }

    /// Shows the server what `source` has, asked for anew before each connection, and over HTTP before each request.
    #[must_use]
    pub fn payload(mut self, source: impl PayloadSource) -> Self {
        self.payload = Some(Arc::new(source));
        self
    }

    /// Sends these headers with each connection, and over HTTP with each request.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Trusts the certificates of these authorities, in place of the public ones.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Reaches the server with `connector` in place of TCP, for example through a proxy.
    #[must_use]
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// The backend. Nothing is sent before it is used.
    ///
    /// # Errors
    /// [`ConnectError`] if the URL is none of those that this program speaks.
    pub fn backend(self) -> Result<Arc<dyn SyncBackend>, ConnectError> {
        // The parts are moved into each config alike, whatever its type.
        #[cfg(any(feature = "ws", feature = "http", feature = "livestore"))]
        macro_rules! backend {
            ($backend:path, $config:path, $url:expr) => {{
                let mut config = <$config>::new($url, self.store)?;
                (config.payload, config.headers, config.roots) = (self.payload, self.headers, self.roots);
                config.connector = self.connector;
                Ok(Arc::new(<$backend>::new(config)))
            }};
        }
        let (scheme, _) = self.url.split_once("://").unwrap_or_default();
        match scheme {
            #[cfg(feature = "ws")]
            "ws" | "wss" => {
                use livestore_transport_ws::{WsBackend, WsConfig};
                backend!(WsBackend, WsConfig, &self.url)
            }
            #[cfg(feature = "http")]
            "http" | "https" => {
                use livestore_transport_http::{HttpBackend, HttpConfig};
                backend!(HttpBackend, HttpConfig, &self.url)
            }
            #[cfg(feature = "livestore")]
            "livestore+ws" | "livestore+wss" => {
                use livestore_transport_livestore::{LiveStoreWs, LiveStoreWsConfig};
                backend!(LiveStoreWs, LiveStoreWsConfig, &self.url[LIVESTORE.len()..])
            }
            #[cfg(feature = "livestore")]
            "livestore+http" | "livestore+https" => {
                use livestore_transport_livestore::{LiveStoreHttp, LiveStoreHttpConfig};
                backend!(LiveStoreHttp, LiveStoreHttpConfig, &self.url[LIVESTORE.len()..])
            }
            _ => Err(ConnectError::Scheme { url: self.url.chars().take(256).collect() }),
        }
    }
}

impl fmt::Debug for Connect {
    /// Leaves out headers, payload and URL: they may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What URLs may begin with, as this program was built.
#[must_use]
pub fn schemes() -> Vec<String> {
    let plain = [
        (cfg!(feature = "ws"), "ws"),
        (cfg!(feature = "http"), "http"),
        (cfg!(feature = "livestore"), "livestore+ws"),
        (cfg!(feature = "livestore"), "livestore+http"),
    ];
    let spoken = plain.into_iter().filter(|(is_spoken, _)| *is_spoken);
    let with_tls = |(_, scheme): (bool, &str)| {
        let secure = cfg!(feature = "tls").then(|| format!("{scheme}s://"));
        [Some(format!("{scheme}://")), secure].into_iter().flatten().collect::<Vec<_>>()
    };
    spoken.flat_map(with_tls).collect()
}

fn list(items: &[String]) -> String {
    match items {
        [] => "nothing, for this program was built without any transport".to_owned(),
        [only] => only.clone(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(url: &str) -> Result<Arc<dyn SyncBackend>, ConnectError> {
        Connect::to(url, StoreId::new("todo").unwrap()).backend()
    }

    #[test]
    fn each_scheme_leads_to_its_transport() {
        for scheme in schemes() {
            let backend = backend(&format!("{scheme}localhost:1")).unwrap();
            let name = format!("{backend:?}");
            assert_eq!(name.contains("LiveStore"), scheme.starts_with("livestore+"), "{scheme}: {name}");
            let is_http = scheme.trim_start_matches("livestore+").starts_with("http");
            assert_eq!(name.contains("Http"), is_http, "{scheme}: {name}");
        }
    }

    #[test]
    fn other_urls_are_refused_in_a_sentence() {
        for url in ["", "localhost:8787", "ftp://a", "livestore+ftp://a", "livestore://a", "LIVESTORE+ws"] {
            let error = backend(url).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("invalid server URL {url:?}: it must begin with ")),
                "{error}"
            );
        }
    }

    #[cfg(feature = "ws")]
    #[test]
    fn what_is_wrong_with_the_rest_is_told() {
        let error = backend("ws://a?b=c").unwrap_err().to_string();
        assert_eq!(error, r#"invalid server URL "ws://a?b=c": it has a query"#);
    }

    #[cfg(all(feature = "ws", not(feature = "tls")))]
    #[test]
    fn without_tls_secure_urls_are_refused() {
        assert!(backend("wss://a").unwrap_err().to_string().contains("without TLS"));
    }
}
