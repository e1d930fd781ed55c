//! WebSockets: what all of them share, and the native one.

mod closing;
mod conversation;
mod handshake;
mod session;
mod socket;

pub(crate) use closing::{Closing, close};
pub(crate) use conversation::{Conversation, MESSAGES_PER_TURN, serve};
pub(crate) use handshake::{Handshake, HandshakeError};
pub(crate) use session::Session;
pub(crate) use socket::Socket;
