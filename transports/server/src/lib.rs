//! One HTTP listener that serves every native transport over a hub of backends.
//!
//! ```no_run
//! # async fn serve(provider: impl livestore_traits::BackendProvider) -> std::io::Result<()> {
//! use livestore_server::Server;
//!
//! let server = Server::builder(provider).bind("127.0.0.1:8787").await?;
//! println!("listening on {}", server.local_addr());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod admission;
mod http;
mod hub;
mod lifecycle;
mod limits;
mod listener;
mod pages;
mod router;
mod service;
mod ws;

pub use limits::ServerLimits;
pub use listener::{Server, ServerBuilder};
pub use service::{SyncBody, SyncService};

/// How this server names itself to its clients.
const SERVER: &str = concat!("livestore-server/", env!("CARGO_PKG_VERSION"));
