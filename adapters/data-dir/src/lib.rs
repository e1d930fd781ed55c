//! One client in one directory, shared by any number of windows, tabs and processes.
//!
//! [`DataDir::store`] puts the parts together: a redb eventlog, SQLite states, leader election by file lock, and a
//! socket over which the sessions of other processes reach the one that leads. Whoever opens it first leads, the others
//! follow, and when the leader goes, however it goes, one of them takes over.
//!
//! ```text
//! <dir>/<store id>/
//!   eventlog.redb     the durable truth: back it up, do not delete it
//!   state.sqlite      made from the eventlog; a damaged one is made again
//!   leader.lock       held by the process that leads
//!   leader            who that is, and its term
//!   leader.addr, leader.sock   where it is reached
//!   sessions/         a lock for each session id that was asked for by name
//! ```
//!
//! A local file system is needed: see [`livestore_leader_file`] for what network file systems lack, and
//! [`livestore_transport_local`] for where sockets work.
//!
//! # Example
//! ```
//! use livestore_data_dir::DataDir;
//! use livestore_materializer_sqlite::{SqliteSchema, SqliteView};
//! use livestore_traits::{EventSet, TypedEvent};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Noted { text: String }
//! impl TypedEvent for Noted { const NAME: &'static str = "v1.Noted"; }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let schema = SqliteSchema::builder(EventSet::builder().event::<Noted>().build()?)
//!     .table("CREATE TABLE notes (text TEXT NOT NULL)")
//!     .on::<Noted>(|state, note, _| {
//!         state.execute("INSERT INTO notes VALUES (?1)", [&note.text])?;
//!         Ok(())
//!     })
//!     .build()?;
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let data = DataDir::new(dir, "notes".parse()?);
//! let window = data.store(schema.clone()).start().await?;   // leads
//! let helper = data.store(schema).start().await?;           // follows, as another process would
//! helper.commit_event(&Noted { text: "hi".into() })?.persisted().await?;
//! window.shutdown(std::time::Duration::from_secs(5)).await?;
//! helper.commit_event(&Noted { text: "still here".into() })?.persisted().await?;   // took over
//! let count: i64 = helper.query(|state: &SqliteView| state.query_row("SELECT count(*) FROM notes", (), |row| row.get(0)))??;
//! assert_eq!(count, 2);
//! # helper.shutdown(std::time::Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```

mod data_dir;
mod session_lock;

pub use data_dir::DataDir;
pub use session_lock::SessionError;
