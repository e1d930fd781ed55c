//! The native WebSocket.

mod closing;
mod handshake;
mod session;

pub(crate) use handshake::{Handshake, HandshakeError};
pub(crate) use session::Session;
