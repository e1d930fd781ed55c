//! The opened data of a server.

use std::fmt;
use std::sync::Arc;

use livestore_backend_memory::MemoryBackends;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_backend_sqlite::{SqliteBackends, SqliteConfig};
use livestore_traits::BackendProvider;

use super::ServeArgs;
use super::outage::IsClosed;
use crate::data::{self, StoreKind};
use crate::error::CommandError;

/// Opened data, whatever keeps it. It is closed when the provider, `is_closed` and all backends are dropped.
pub(super) struct Data {
    pub(super) provider: Arc<dyn BackendProvider>,
    pub(super) is_closed: IsClosed,
}

impl Data {
    pub(super) fn open(args: &ServeArgs) -> Result<Self, CommandError> {
        let log = args.log_limits.config();
        let kind = args.kind()?;
        args.redb.check(kind)?;
        args.sqlite.check(kind)?;
        Ok(match kind {
            None => {
                let data = MemoryBackends::with_config(log);
                Self {
                    provider: Arc::new(data.clone()),
                    is_closed: Arc::new(move || data.stats().failure.is_some()),
                }
            }
            Some(StoreKind::Redb) => {
                let config = RedbConfig { log, ..args.redb.config() };
                let data = RedbBackends::open(args.data_dir(), config).map_err(data::open_failed)?;
                Self {
                    provider: Arc::new(data.clone()),
                    is_closed: Arc::new(move || data.stats().failure.is_some()),
                }
            }
            Some(StoreKind::Sqlite) => {
                let config = SqliteConfig { log, ..args.sqlite.config() };
                let data = SqliteBackends::open(args.data_dir(), config).map_err(data::open_failed)?;
                Self {
                    provider: Arc::new(data.clone()),
                    is_closed: Arc::new(move || data.stats().failure.is_some()),
                }
            }
        })
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl ServeArgs {
    /// What keeps the data; `None` is memory.
    fn kind(&self) -> Result<Option<StoreKind>, CommandError> {
        if self.memory { Ok(None) } else { data::kind_in(self.data_dir(), self.store).map(Some) }
    }

    /// Where the data is, in words.
    pub(super) fn place(&self) -> Result<String, CommandError> {
        Ok(match self.kind()? {
            None => "in memory only, gone when it stops".to_owned(),
            Some(kind) => {
                let file = kind.file_in(self.data_dir());
                format!("in {}, synced to disk before a push is acknowledged", file.display())
            }
        })
    }
}
