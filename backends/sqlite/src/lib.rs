//! A sync backend on SQLite: all stores of a data dir in one file that any SQLite tool can read.
//!
//! Durability: an acknowledged push survives a power cut ([`Durability::Disk`](livestore_traits::Durability::Disk)); the
//! file is in WAL mode with `synchronous = FULL`. Every commit is one synced transaction; pushes to any store that arrive
//! meanwhile share the next one. A full disk refuses pushes and nothing else; after any other failed write nothing more
//! is accepted or read until the file is opened again.
//!
//! `events` has the log of a store side by side; small pushes to many stores wait in `journal` until they are sorted in.
//!
//! Reading beside a running server is safe, writing is not: the `.lock` file keeps out other servers only.
//!
//! Needs a tokio runtime: what is not in memory is read on its blocking threads.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use livestore_backend_sqlite::{SqliteBackends, SqliteConfig};
//! use livestore_traits::{BackendProvider, StoreId};
//!
//! let backends = SqliteBackends::open("livestore-data", SqliteConfig::default())?;
//! let backend = backends.open(&StoreId::new("todo")?).await?;
//! # Ok(()) }
//! ```

mod codec;
mod error;
mod open;
mod sqlite;
mod storage;

pub use livestore_backend_log::{Clock, LogConfig, OpenError, RestoreError, Restored, Stats};
pub use sqlite::{SqliteBackends, SqliteConfig, restore};
