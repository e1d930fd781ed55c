//! Leader election inside one process, and a place where stores of one process find their leader.
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
mod rendezvous;

pub use memory::MemoryElection;
pub use rendezvous::MemoryRendezvous;
