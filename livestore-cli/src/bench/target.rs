//! Which server, and how to talk to it.

use std::sync::Arc;

use clap::ValueEnum;
use livestore_traits::StoreId;
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_ws::{WsBackend, WsConfig};
use livestore_wire::livestore::SyncUrl;
use livestore_wire::{PAYLOAD_HEADER, SyncPayload};

use super::client::{BackendClient, Client, LiveStoreClient};
use crate::error::CommandError;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    /// LiveStore's own protocol over WebSocket, as the clients of `@livestore/sync-cf` 0.4 speak it.
    Livestore,
    /// The native WebSocket.
    Native,
    /// Native HTTP: a POST for each push, long polls.
    Http,
}

impl Dialect {
    const fn scheme(self) -> &'static str {
        match self {
            Self::Livestore | Self::Native => "ws",
            Self::Http => "http",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Livestore => "livestore",
            Self::Native => "native",
            Self::Http => "http",
        }
    }
}

/// A server, and what it is shown.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// With the scheme of the dialect.
    url: String,
    dialect: Dialect,
    payload: Option<SyncPayload>,
}

impl Target {
    /// The server at `url`. Its scheme tells the dialect, unless it is named.
    pub(super) fn new(
        url: &str,
        dialect: Option<Dialect>,
        payload: Option<SyncPayload>,
    ) -> Result<Self, CommandError> {
        let invalid = |why: &str| {
            CommandError::new(format!("--url {url:?} {why}"))
                .hint("it looks like ws://127.0.0.1:8787, http://… or livestore+ws://…")
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("has no scheme"))?;
        let from_scheme = match scheme {
            "ws" => Dialect::Native,
            "http" => Dialect::Http,
            "livestore+ws" => Dialect::Livestore,
            "wss" | "https" | "livestore+wss" => {
                return Err(invalid("wants TLS, which is left to a proxy: use its address without TLS"));
            }
            _ => return Err(invalid("has a scheme that is none of these")),
        };
        let dialect = dialect.unwrap_or(from_scheme);
        let target = Self { url: format!("{}://{rest}", dialect.scheme()), dialect, payload };
        // What is wrong with the address is the same for every store.
        target
            .prepare("bench")
            .map_err(|error| CommandError::new("the --url is no address").caused_by(error))?;
        Ok(target)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A new client of a store. The native ones connect when they are first used.
    pub(super) async fn connect(&self, store: &str) -> Result<Box<dyn Client>, CommandError> {
        let prepared = self
            .prepare(store)
            .map_err(|error| CommandError::new("the store cannot be named").caused_by(error))?;
        Ok(match prepared {
            Prepared::Livestore(url) => {
                Box::new(LiveStoreClient::connect(&url, self.payload.as_ref()).await?)
            }
            Prepared::Native(config) => Box::new(BackendClient::new(Arc::new(WsBackend::new(config)))),
            Prepared::Http(config) => Box::new(BackendClient::new(Arc::new(HttpBackend::new(config)))),
        })
    }

    fn prepare(&self, store: &str) -> Result<Prepared, livestore_traits::BoxError> {
        let store = StoreId::new(store)?;
        let header = self.payload.as_ref().map(SyncPayload::to_header);
        Ok(match self.dialect {
            Dialect::Livestore => Prepared::Livestore(SyncUrl::new(&["ws"], &self.url, store)?),
            Dialect::Native => {
                let mut config = WsConfig::new(&self.url, store)?;
                if let Some(header) = header {
                    config.headers.insert(PAYLOAD_HEADER, header);
                }
                Prepared::Native(config)
            }
            Dialect::Http => {
                let mut config = HttpConfig::new(&self.url, store)?;
                if let Some(header) = header {
                    config.headers.insert(PAYLOAD_HEADER, header);
                }
                Prepared::Http(config)
            }
        })
    }
}

/// How one store is reached.
enum Prepared {
    Livestore(SyncUrl),
    Native(WsConfig),
    Http(HttpConfig),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_tells_the_dialect_unless_it_is_named() {
        for (url, named, expected) in [
            ("ws://a:1", None, "native ws://a:1"),
            ("http://a:1", None, "http http://a:1"),
            ("livestore+ws://a:1/sync", None, "livestore ws://a:1/sync"),
            ("http://a:1", Some(Dialect::Livestore), "livestore ws://a:1"),
            ("ws://a:1", Some(Dialect::Http), "http http://a:1"),
        ] {
            let target = Target::new(url, named, None).unwrap();
            assert_eq!(format!("{} {}", target.dialect().name(), target.url()), expected);
        }
        for url in ["a:1", "ftp://a", "wss://a", "ws://", "ws://a b", "ws://u:p@a"] {
            assert!(Target::new(url, None, None).is_err(), "{url} was taken");
        }
    }
}
