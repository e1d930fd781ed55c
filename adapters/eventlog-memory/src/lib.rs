//! An eventlog in memory: for tests, simulations, and clients that keep nothing.
//!
//! What is stored outlives every handle on it, as a file would, so that crashes and second leaders can be played
//! without a disk.
//!
//! ```
//! use livestore_eventlog_memory::MemoryStorage;
//! use livestore_traits::{Eventlog, EventlogError, EventlogReader, LogCommit, Term};
//!
//! let storage = MemoryStorage::default();
//! let (mut old, mut new) = (storage.open(), storage.open());
//! let commit = LogCommit::new(&old.heads().unwrap());
//! new.commit(Term(2), commit.clone()).unwrap();
//! assert!(matches!(old.commit(Term(1), commit), Err(EventlogError::Fenced { .. })));
//! ```

mod memory;

pub use memory::{MemoryEventlog, MemoryStorage};
