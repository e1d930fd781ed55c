//! Leader election inside one process.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use livestore_leader_memory::MemoryElection;
//! use livestore_traits::LeaderElection;
//!
//! let election = MemoryElection::new();
//! let leadership = election.acquire().await.unwrap();
//! assert!(election.clone().try_acquire().await.unwrap().is_none());
//! drop(leadership);
//! assert!(election.try_acquire().await.unwrap().is_some());
//! # }
//! ```

mod memory;

pub use memory::MemoryElection;
