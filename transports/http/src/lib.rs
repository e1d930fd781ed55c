//! The native HTTP transport, client side: a [`SyncBackend`](livestore_traits::SyncBackend) that reaches a
//! `livestore-server` with plain requests, where WebSockets can't go.
//!
//! ```no_run
//! use livestore_traits::StoreId;
//! use livestore_transport_http::{HttpBackend, HttpConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = HttpConfig::new("http://127.0.0.1:8787", StoreId::new("todo")?)?;
//! let backend = HttpBackend::new(config);
//! # Ok(())
//! # }
//! ```
//!
//! A push is one `POST`, a page one `GET`. A live pull asks again and again with a time to wait: the server answers as
//! soon as there is an event. Connections are kept alive and used again. The server is asked once what it can do, and
//! again after it could not be reached.
//!
//! `https://` is behind the feature `tls`, which is on by default; `roots` in the config adds a certificate authority of
//! one's own.
//!
//! A server that wants to know who comes is shown [`HttpConfig::payload`], for which its source is asked before each
//! request: a token that is renewed there needs nothing else.

mod backend;
mod config;
mod error;
mod exchange;

pub use backend::HttpBackend;
pub use config::HttpConfig;
pub use error::HttpError;
pub use livestore_dial::{ByteStream, Connector, Roots};
pub use livestore_wire::{Encoding, InvalidPayload, InvalidUrl, PayloadSource, SyncPayload};
