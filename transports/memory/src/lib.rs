//! A transport inside one process, over a network that tests control.
//!
//! ```text
//! client ── MemoryTransport ══ link: latency, loss, order, duplicates, partition, silence ══ SyncBackend
//! ```
//!
//! Each transport has a [`Link`] of its own to its backend. What a caller sees is what a transport over a real network
//! shows: a push fails with `Offline` before it is sent and with `Unacknowledged` after, a pull that breaks ends with
//! `Offline`, and where nothing is heard at all, only the timeout tells.
//!
//! Time is tokio's, so everything runs at once where it is paused. On a current-thread runtime the same calls in the
//! same order meet the same fate for the same seed.
//!
//! ```
//! # use std::sync::Arc;
//! # use livestore_transport_memory::{LinkConfig, Network};
//! # fn example(backend: Arc<dyn livestore_traits::SyncBackend>) {
//! let network = Network::new(42);
//! let alice = network.connect(Arc::clone(&backend), "alice");
//! let bob = network.connect(backend, "bob");
//!
//! // Bob is on a train.
//! bob.link().configure(LinkConfig { loss: 0.05, ..LinkConfig::with_latency(150, 50) });
//! bob.link().partition();
//! bob.link().heal();
//! # }
//! ```

mod connection;
mod link;
mod network;
mod pull;
mod transport;

pub use link::{Condition, Link, LinkConfig, LinkStats};
pub use network::Network;
pub use transport::{MAX_PUSHES_IN_FLIGHT, MemoryTransport};
