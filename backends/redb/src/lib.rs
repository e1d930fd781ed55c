//! A sync backend on [redb](https://docs.rs/redb): all stores of a data dir in one file, pushes synced in groups.
//!
//! Durability: an acknowledged push survives a power cut ([`Durability::Disk`](livestore_traits::Durability::Disk)).
//! Every commit is one synced redb transaction; pushes to any store that arrive meanwhile share the next one. After a
//! failed write nothing more is accepted or read until the file is opened again.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `meta` | `format` | version of this layout |
//! | `stores` | store id | number of its log, backend id |
//! | `events` | log, number | record, see `codec.rs` |
//! | `journal` | order of arrival | log, number, record: events that are not in `events` yet, see `journal.rs` |
//! | `owners` | log, client id | the secret of its owner |
//!
//! Needs a tokio runtime: what is not in memory is read on its blocking threads.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use livestore_backend_redb::{RedbBackends, RedbConfig};
//! use livestore_traits::{BackendProvider, StoreId};
//!
//! let backends = RedbBackends::open("livestore-data", RedbConfig::default())?;
//! let backend = backends.open(&StoreId::new("todo")?).await?;
//! # Ok(()) }
//! ```

mod codec;
mod error;
mod journal;
mod redb;
mod storage;

pub use livestore_backend_log::{Clock, LogConfig, OpenError, RestoreError, Restored, Stats};
pub use redb::{RedbBackends, RedbConfig, restore};
