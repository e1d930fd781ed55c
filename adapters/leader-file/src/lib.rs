//! Leader election by file lock: one leader per directory, across processes.
//!
//! The operating system gives a lock back when its holder ends, however it ends, so a leader that crashed never stops the
//! next one. A leader that is merely stopped (SIGSTOP, a suspended machine) keeps the lock, and nobody takes over:
//! [`FileElection::holder`] tells who it is.
//!
//! **Where this works.** On local file systems of Linux, macOS, the BSDs and Windows, through the locks that
//! [`std::fs::File::lock`] takes. On network file systems locks may be missing, may hold on one machine only, or may be
//! lost while they are held: keep a client's data on a local disk. Where a lock is lost nevertheless, the terms still
//! fence: two leaders never have the same one, and the eventlog refuses the older.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use livestore_leader_file::FileElection;
//! use livestore_traits::LeaderElection;
//!
//! let dir = tempfile::tempdir().unwrap();
//! let leadership = FileElection::new(dir.path()).acquire().await.unwrap();
//! let holder = FileElection::holder(dir.path()).unwrap().unwrap();
//! assert_eq!((holder.term, holder.pid), (leadership.term(), std::process::id()));
//! drop(leadership);
//! assert_eq!(FileElection::holder(dir.path()).unwrap(), None);
//! # }
//! ```

mod election;
mod error;
mod lock;
mod record;

pub use election::FileElection;
pub use record::Holder;
