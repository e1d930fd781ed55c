//! Over a WebSocket.
//!
//! ```text
//!            first call             first frame
//!  Offline ─────────────▶ Connecting ─────────▶ Connected
//!                          ▲      │               │
//!                          │      ▼               │ broken: pulls end as Offline, pushes that were sent as
//!                          └── backoff ◀──────────┘ Unacknowledged, those that were not as Offline
//! ```

mod backend;
mod connection;
mod handshake;
mod link;
mod pull;
#[cfg(test)]
mod tests;

pub use backend::LiveStoreWs;
