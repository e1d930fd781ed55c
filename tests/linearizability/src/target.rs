//! The backends that histories are made of, and the ways to them.

use std::fmt;
use std::sync::Arc;

use livestore_backend_log::LogConfig;
use livestore_backend_memory::MemoryBackends;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_backend_sqlite::{SqliteBackends, SqliteConfig};
use livestore_connect::Connect;
use livestore_server::Server;
use livestore_traits::{BackendProvider, BoxError, Limits, StoreId, SyncBackend};
use tempfile::TempDir;

/// Events in a page and a push: so few that a pull of a history has many pages.
pub const BATCH_EVENTS: usize = 7;

/// A backend, or a wire to the one in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// In memory, as it is.
    Memory,
    /// On redb, as it is.
    Redb,
    /// On SQLite, as it is.
    Sqlite,
    /// The native WebSocket.
    Ws,
    /// The native plain HTTP.
    Http,
    /// LiveStore's wire over a WebSocket.
    Livestore,
    /// LiveStore's wire over plain HTTP.
    LivestoreHttp,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Memory, Self::Redb, Self::Sqlite, Self::Ws, Self::Http, Self::Livestore, Self::LivestoreHttp];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Redb => "redb",
            Self::Sqlite => "sqlite",
            Self::Ws => "ws",
            Self::Http => "http",
            Self::Livestore => "livestore",
            Self::LivestoreHttp => "livestore-http",
        })
    }
}

/// A backend that runs.
#[derive(Debug)]
pub struct Target {
    kind: Kind,
    place: Place,
    /// Where its files are, removed with it.
    _dir: TempDir,
}

#[derive(Debug)]
enum Place {
    Here(Box<dyn BackendProvider>),
    /// Over the wire that URLs with this scheme name.
    There(&'static str, Server),
}

impl Target {
    /// Starts one without stores.
    ///
    /// # Errors
    /// If there is no directory, or no address, for it.
    pub async fn start(kind: Kind) -> Result<Self, BoxError> {
        let limits = Limits { max_batch_events: BATCH_EVENTS, ..Limits::BACKEND };
        // So little of it that readers meet the storage, too.
        let log = LogConfig { limits, tail_bytes: 2_000, ..LogConfig::default() };
        let dir = TempDir::new()?;
        let place = match kind {
            Kind::Memory => Place::Here(Box::new(MemoryBackends::with_config(log))),
            Kind::Redb => {
                let config = RedbConfig { log, ..RedbConfig::default() };
                Place::Here(Box::new(RedbBackends::open(dir.path(), config)?))
            }
            Kind::Sqlite => {
                let config = SqliteConfig { log, ..SqliteConfig::default() };
                Place::Here(Box::new(SqliteBackends::open(dir.path(), config)?))
            }
            Kind::Ws => Place::There("ws", serve(log).await?),
            Kind::Http => Place::There("http", serve(log).await?),
            Kind::Livestore => Place::There("livestore+ws", serve(log).await?),
            Kind::LivestoreHttp => Place::There("livestore+http", serve(log).await?),
        };
        Ok(Self { kind, place, _dir: dir })
    }

    /// Whether a live page that says that there is nothing after it can be believed. LiveStore's wire says so of every
    /// event that comes after the catch-up, since its clients wait for it.
    #[must_use]
    pub const fn tells_head_live(&self) -> bool {
        !matches!(self.kind, Kind::Livestore | Kind::LivestoreHttp)
    }

    /// A way to the store of its own, as another client has one.
    ///
    /// # Errors
    /// If the store cannot be opened.
    pub async fn connect(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, BoxError> {
        match &self.place {
            Place::Here(provider) => Ok(provider.open(store).await?),
            Place::There(scheme, server) => {
                let url = format!("{scheme}://{}", server.local_addr());
                Ok(Connect::to(url, store.clone()).backend()?)
            }
        }
    }
}

async fn serve(log: LogConfig) -> Result<Server, BoxError> {
    Ok(Server::builder(MemoryBackends::with_config(log)).bind("127.0.0.1:0").await?)
}
