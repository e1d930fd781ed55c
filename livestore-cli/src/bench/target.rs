//! Which server, and how to talk to it.

use std::fmt;

use clap::ValueEnum;
use livestore_connect::Connect;
use livestore_dial::{Dialer, Roots, WS_SCHEMES};
use livestore_traits::{BoxError, StoreId};
use livestore_wire::SyncPayload;
use livestore_wire::livestore::SyncUrl;

use super::client::{BackendClient, Client, LiveStoreClient, PATIENCE};
use crate::error::CommandError;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    /// LiveStore's own protocol over WebSocket, as the clients of `@livestore/sync-cf` 0.4 speak it.
    Livestore,
    /// The same over HTTP, which has no live pull.
    LivestoreHttp,
    /// The native WebSocket.
    Native,
    /// Native HTTP: a POST for each push, long polls.
    Http,
}

impl Dialect {
    const ALL: [Self; 4] = [Self::Livestore, Self::LivestoreHttp, Self::Native, Self::Http];

    const fn scheme(self) -> &'static str {
        match self {
            Self::Livestore => "livestore+ws",
            Self::LivestoreHttp => "livestore+http",
            Self::Native => "ws",
            Self::Http => "http",
        }
    }

    /// Whether a store can be followed.
    pub(super) const fn has_live_pull(self) -> bool {
        !matches!(self, Self::LivestoreHttp)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Livestore => "livestore",
            Self::LivestoreHttp => "livestore-http",
            Self::Native => "native",
            Self::Http => "http",
        }
    }
}

/// A server, and what it is shown.
#[derive(Clone)]
pub(super) struct Target {
    /// With the scheme of the dialect.
    url: String,
    dialect: Dialect,
    payload: Option<SyncPayload>,
    roots: Roots,
    dialer: Dialer,
}

impl Target {
    /// The server at `url`, whose certificate `roots` vouch for. Its scheme tells the dialect, unless it is named.
    pub(super) fn new(
        url: &str,
        dialect: Option<Dialect>,
        payload: Option<SyncPayload>,
        roots: Roots,
    ) -> Result<Self, CommandError> {
        let invalid = |why: &str| {
            CommandError::new(format!("--url {url:?} {why}"))
                .hint("it looks like ws://127.0.0.1:8787, http://… or livestore+ws://…")
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("has no scheme"))?;
        let known = Dialect::ALL.iter().find_map(|dialect| match scheme.strip_prefix(dialect.scheme()) {
            Some(tls @ ("" | "s")) => Some((*dialect, tls)),
            _ => None,
        });
        let (known, tls) = known.ok_or_else(|| invalid("has a scheme that is none of these"))?;
        let dialect = dialect.unwrap_or(known);
        let target = Self {
            url: format!("{}{tls}://{rest}", dialect.scheme()),
            dialect,
            payload,
            dialer: Dialer::new(&roots, None, PATIENCE),
            roots,
        };
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

    /// A new client of a store. All but that of LiveStore's WebSocket connect when they are first used.
    pub(super) async fn connect(&self, store: &str) -> Result<Box<dyn Client>, CommandError> {
        let prepared = self
            .prepare(store)
            .map_err(|error| CommandError::new("the store cannot be named").caused_by(error))?;
        Ok(match prepared {
            Prepared::Bare(url) => {
                Box::new(LiveStoreClient::connect(&self.dialer, &url, self.payload.as_ref()).await?)
            }
            Prepared::Backend(client) => Box::new(client),
        })
    }

    fn prepare(&self, store: &str) -> Result<Prepared, BoxError> {
        let store = StoreId::new(store)?;
        if self.dialect == Dialect::Livestore {
            let url = self.url.trim_start_matches("livestore+");
            return Ok(Prepared::Bare(SyncUrl::new(WS_SCHEMES, url, store)?));
        }
        let connect = Connect::to(&self.url, store).roots(self.roots.clone());
        let connect = match &self.payload {
            Some(payload) => connect.payload(payload.clone()),
            None => connect,
        };
        Ok(Prepared::Backend(BackendClient::new(connect.backend()?)))
    }
}

impl fmt::Debug for Target {
    /// Leaves out the URL, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// How one store is reached.
enum Prepared {
    Bare(SyncUrl),
    Backend(BackendClient),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_tells_the_dialect_unless_it_is_named() {
        for (url, named, expected) in [
            ("ws://a:1", None, "native ws://a:1"),
            ("wss://a:1", None, "native wss://a:1"),
            ("http://a:1", None, "http http://a:1"),
            ("https://a", None, "http https://a"),
            ("livestore+ws://a:1/sync", None, "livestore livestore+ws://a:1/sync"),
            ("livestore+https://a", None, "livestore-http livestore+https://a"),
            ("http://a:1", Some(Dialect::Livestore), "livestore livestore+ws://a:1"),
            ("wss://a:1", Some(Dialect::Http), "http https://a:1"),
        ] {
            let target = Target::new(url, named, None, Roots::public()).unwrap();
            assert_eq!(format!("{} {}", target.dialect().name(), target.url()), expected);
        }
        for url in ["a:1", "ftp://a", "w://a", "ws://", "ws://a b", "ws://u:p@a"] {
            assert!(Target::new(url, None, None, Roots::public()).is_err(), "{url} was taken");
        }
    }
}
