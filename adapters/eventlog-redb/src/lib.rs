//! An eventlog on redb: one file, one writer, every commit on the disk before it returns.
//!
//! ```
//! use livestore_eventlog_redb::RedbEventlog;
//! use livestore_traits::{Eventlog, EventlogError, EventlogReader, LogCommit, Term};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let mut log = RedbEventlog::open(dir.path().join("eventlog.redb")).unwrap();
//! let heads = log.commit(Term(1), LogCommit::new(&log.heads().unwrap())).unwrap();
//! assert_eq!(heads.term, Term(1));
//!
//! // The file is locked as long as the log is open.
//! assert!(matches!(RedbEventlog::open(dir.path().join("eventlog.redb")), Err(EventlogError::InUse)));
//! ```

mod codec;
mod damage;
mod error;
mod redb;
mod tables;

pub use self::redb::{RedbEventlog, RedbReader};
