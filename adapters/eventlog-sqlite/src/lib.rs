//! An eventlog on SQLite: a file of its own, that any SQLite tool can look into.
//!
//! ```
//! use livestore_eventlog_sqlite::SqliteEventlog;
//! use livestore_traits::{Eventlog, EventlogReader, LogCommit, Term};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let mut log = SqliteEventlog::open(dir.path().join("eventlog.sqlite")).unwrap();
//! let heads = log.commit(Term(1), LogCommit::new(&log.heads().unwrap())).unwrap();
//! assert_eq!(heads.term, Term(1));
//! ```

mod codec;
mod error;
mod schema;
mod sqlite;
mod tables;

pub use sqlite::{SqliteEventlog, SqliteReader};
