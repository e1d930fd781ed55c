//! A network in one process: named hosts, byte streams between them that take time and break, on tokio's virtual time.
//!
//! The real clients and the real server run over it, in one thread, and two runs of one seed are the same, byte for byte:
//! a [`SimNetwork`] has a connector for each client, and serves a server's `SyncService` on a host.
//!
//! ```
//! use livestore_sim_network::{SimNetwork, Unreachable};
//! # use futures::StreamExt;
//! # use livestore_backend_memory::MemoryBackends;
//! # use livestore_connect::Connect;
//! # use livestore_server::Server;
//! # use livestore_traits::{Cursor, Pull, PullMode, StoreId, SyncBackend};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! fastrand::seed(7);
//! let network = SimNetwork::new(7);
//! network.serve("server", Server::builder(MemoryBackends::new()).into_service());
//! let phone = Connect::to("ws://server", StoreId::new("todo")?).connector(network.connector("phone"));
//! let backend = phone.backend()?;
//!
//! network.partition("phone", "server", Unreachable::Refuses);
//! let pull = Pull::new(None, Cursor::start(), PullMode::Once);
//! assert!(backend.pull(pull.clone()).next().await.is_some_and(|page| page.is_err()));
//! network.heal("phone", "server");
//! assert!(backend.pull(pull).next().await.is_some_and(|page| page.is_ok()));
//! # Ok(())
//! # }
//! ```
//!
//! # What it is like
//!
//! A connection is TCP as programs see it: bytes in order, cut anywhere, with a delay of their own for each write
//! ([`LinkConfig`]), so that what is sent over two connections arrives in any order; bounded buffers, so that a reader
//! that does not read stops its writer; an end of its own for each direction. Faults are methods of [`SimNetwork`], by the
//! names that [turmoil](https://docs.rs/turmoil) gave them where it has them; [`SimNetwork::strike`] draws one.
//!
//! turmoil itself is not used: it moves its time in ticks, which makes idle minutes cost as much as busy ones, and has
//! sockets of its own. Here nothing happens between two arrivals, and time jumps.
//!
//! # What determinism needs beside
//!
//! A current-thread runtime whose time is paused, `fastrand::seed` before anything else (the clients draw backoffs and
//! WebSocket masks from its generator of the thread), and a clock for the server's log
//! (`livestore_backend_memory::Clock`). What is read in one moment is read in one order, whichever order it was written
//! in: tokio's `watch` wakes those who wait in a random order, which so has no effect beyond the moment.

mod config;
mod connection;
mod counts;
mod faults;
mod lane;
mod network;
mod pump;
mod stream;
mod wire;

pub use config::LinkConfig;
pub use counts::Count;
pub use faults::{Crash, Fault, Unreachable};
pub use lane::End;
pub use network::{SimConnector, SimNetwork};
pub use stream::SimStream;
pub use wire::Wire;
