//! A client of LiveStore's own sync backend: [`SyncBackend`](livestore_traits::SyncBackend)s that speak the protocol of
//! `@livestore/sync-cf` 0.4, so that a Rust program can join a store that lives on Cloudflare, or on a
//! `livestore-server`.
//!
//! ```no_run
//! use livestore_traits::StoreId;
//! use livestore_transport_livestore::{LiveStoreWs, LiveStoreWsConfig, SyncPayload};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = LiveStoreWsConfig::new("wss://sync.example.com", StoreId::new("todo")?)?;
//! config.payload = Some(std::sync::Arc::new(SyncPayload::from_json(r#"{"authToken": "let-me-in"}"#)?));
//! let backend = LiveStoreWs::new(config);
//! # Ok(())
//! # }
//! ```
//!
//! | | [`LiveStoreWs`] | [`LiveStoreHttp`] |
//! | --- | --- | --- |
//! | connection | one, kept and made again | one request each, kept alive |
//! | pulls | live, paced by acknowledgements | once; the engine polls, because the server cannot wait |
//! | credentials are asked for | before each connection | before each request |
//!
//! # What this wire cannot say
//!
//! - Commits, units and ownership of client ids are not carried: every event that is pulled is a unit of its own.
//! - Args come back as JavaScript writes them: the same values, not the same bytes.
//! - Acknowledgements say nothing of what was stored. When and by which backend, which make an event's cursor, is taken
//!   from the echo on a live pull, or asked for.
//! - The reference server refuses a repeated push as one that comes too late. This client then looks whether the batch
//!   stands there already, and takes it as acknowledged. That costs a pull with nearly every refusal, also where
//!   only somebody else was first.
//! - Cursors have no token of the server's. This client makes one of the last event's time, and begins each pull with
//!   that event: a log that was replaced or set back under the client is noticed, also when it has grown since.
//! - A refusal by a hook of the server's (`UnknownError`) looks like trouble that passes. The batch is kept and tried
//!   again after a backoff; nothing that was committed is dropped because of it. Only where a server says that it
//!   rejects (`RejectedError`, as `livestore-server` calls it) is the first unit of the batch rejected, if it is what is
//!   wrong.

mod config;
mod error;
mod http;
mod push;
mod reader;
mod token;
mod ws;

pub use config::{LiveStoreHttpConfig, LiveStoreWsConfig};
pub use error::LiveStoreError;
pub use http::LiveStoreHttp;
pub use livestore_dial::{ByteStream, Connector, Roots};
pub use livestore_wire::{InvalidPayload, InvalidUrl, PayloadSource, SyncPayload};
pub use ws::LiveStoreWs;

/// How this implementation is called in errors.
const BACKEND: &str = "livestore";
