//! Sessions in other processes reach the leader of their client over a socket in the data directory.
//!
//! ```text
//!   session's process                                   leader's process
//!   LocalRendezvous::connect()                          LocalRendezvous::open(link)
//!     reads leader.addr ──────────────────────────────▶   leader.addr   (which socket, and a secret)
//!     greeting: version, secret ──────────────────────▶   leader.sock   (or a port of the loopback interface)
//!     ◀────────────────────── greeting: version, secret, label
//!     request: attach | snapshot | sync now | reports ─▶
//!     ◀──────────────────────────── answer, then a stream
//! ```
//!
//! **One connection, one purpose.** A session that is attached and follows the leader's status has two. Closing a
//! connection ends what it was for, so nothing has to be cancelled, and a connection that misbehaves or stalls ends
//! alone. Every use of a link reads the address anew: it leads to whoever leads then.
//!
//! **Who gets through.** Only processes of the same user; not even those of the superuser, whose files in the data
//! directory would shut the user out. Socket and address are readable by the user alone (on Windows, by whoever may read
//! the directory), both sides compare the user ids where the socket tells them, and both prove that they know the secret in
//! the address.
//!
//! **Where it works.** Over a Unix domain socket, wherever the data directory can hold one; otherwise, as on Windows, on
//! file systems without sockets, or with a path that is longer than a socket's may be, over a TCP port of the loopback
//! interface, which needs the secret: anybody on the machine can connect to it.
//!
//! **Versions.** Both sides begin with a greeting whose form never changes. If the versions differ, the program gets
//! [`LinkError::Incompatible`](livestore_traits::LinkError::Incompatible) with words for people, and the leader goes on.
//!
//! **Files.** `leader.addr` and `leader.sock` stay when the leader goes: removing them could hit those of its successor.
//! Nobody listens there any more, so a link says at once that the leader is gone; the next leader replaces them.
//!
//! Links need a tokio runtime with I/O and time.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use livestore_traits::{LinkError, Rendezvous, StoreId};
//! use livestore_transport_local::{LocalConfig, LocalRendezvous};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let config = LocalConfig::new(StoreId::new("todo").unwrap());
//! let link = LocalRendezvous::new(dir.path(), config).connect();
//! assert!(matches!(link.sync_now().await, Err(LinkError::Gone)), "nobody leads yet");
//! # }
//! ```

mod address;
mod client;
mod config;
mod error;
mod frame;
mod greeting;
mod message;
mod rendezvous;
mod server;
mod socket;

pub use config::{LEAST_FRAME_BYTES, LocalConfig, Medium};
pub use error::LocalError;
pub use greeting::PROTOCOL_VERSION;
pub use rendezvous::LocalRendezvous;
