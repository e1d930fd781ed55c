//! The native WebSocket transport, client side: a [`SyncBackend`](livestore_traits::SyncBackend) that reaches a
//! `livestore-server`.
//!
//! ```no_run
//! use livestore_traits::StoreId;
//! use livestore_transport_ws::{WsBackend, WsConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = WsConfig::new("ws://127.0.0.1:8787", StoreId::new("todo")?)?;
//! let backend = WsBackend::new(config);
//! # Ok(())
//! # }
//! ```
//!
//! One backend is one connection for any number of pushes and pulls. It is opened by the first of them, and from then on
//! reopened whenever it breaks:
//!
//! ```text
//!            first call             hello
//!  Offline ─────────────▶ Connecting ─────▶ Connected
//!                          ▲      │           │
//!                          │      ▼           │ broken: pulls end as Offline, pushes that were sent as
//!                          └── backoff ◀──────┘ Unacknowledged, those that were not as Offline
//! ```
//!
//! The backoff is jittered, doubles with each failure and starts anew after a success. A call made while it waits
//! shortens the wait to [`WsConfig::min_backoff`], so each call gets the outcome of an attempt that is not older than
//! the call.
//!
//! `wss://` is behind the feature `tls`, which is on by default; `roots` in the config adds a certificate authority of
//! one's own.
//!
//! # Credentials
//!
//! A server that wants to know who comes is shown [`WsConfig::payload`], for which its source is asked before each
//! connection. When the server refuses it, or closes the connection because it has expired, calls fail as
//! `Unauthorized`, and the next attempt asks the source again: a token that is renewed there needs nothing else.
//!
//! ```no_run
//! # use std::collections::BTreeMap;
//! # use std::sync::Arc;
//! # use livestore_transport_ws::{SyncPayload, WsConfig};
//! # async fn fetch_token() -> Result<String, std::io::Error> { Ok(String::new()) }
//! # fn configure(mut config: WsConfig) {
//! config.payload = Some(Arc::new(|| async {
//!     let token = fetch_token().await?;
//!     Ok(SyncPayload::new(&BTreeMap::from([("authToken", token)]))?)
//! }));
//! # }
//! ```

mod backend;
mod config;
mod connection;
mod error;
mod link;
mod pull;

pub use backend::WsBackend;
pub use config::WsConfig;
pub use error::WsError;
pub use livestore_dial::{ByteStream, Connector, Roots};
pub use livestore_wire::{InvalidPayload, InvalidUrl, PayloadSource, SyncPayload};
