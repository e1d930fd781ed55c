//! What every sync backend that keeps a log of its own shares, so that each implements nothing but storage.
//!
//! ```text
//!  push ──► check (in the caller's task) ──► Committer ──► LogStorage::commit ──► publish: tail, then head
//!              │ stale: compare with the log      one critical section;                │
//!              ▼                                  one sync for all stores              ▼
//!        acknowledged again, or                                          live pulls wake, read the tail
//!        upstream is ahead                                               or, behind it, the storage
//! ```
//!
//! [`LogStorage`] is what a backend implements: blocking appends and reads of many logs. [`Stores`] opens the logs of a
//! storage and [`StoreBackend`] is the [`SyncBackend`](livestore_traits::SyncBackend) of one of them. The committer
//! runs on a thread of its own, or inline in the caller's task where the storage never waits ([`Stores::inline`]).

mod admission;
mod backend;
mod committer;
mod config;
mod failure;
mod log;
mod open;
mod page;
mod pull;
mod recall;
mod restore;
mod storage;
mod stores;
mod tail;
mod writer;

pub use backend::StoreBackend;
pub use config::{Clock, LogConfig};
pub use failure::Failure;
pub use open::OpenError;
pub use page::PageBuilder;
pub use recall::Recall;
pub use restore::{FileStorage, RestoreError, Restored, restore};
pub use storage::{Batch, Changes, CommitError, Head, LogInfo, LogNo, LogStorage, NewLog, Owner, Tag};
pub use stores::{Stats, Stores};
