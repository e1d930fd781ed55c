//! LiveStore's own protocol, for the clients of `@livestore/sync-cf`: on any path, chosen by the query.
//!
//! Where the reference server is wrong this one is right: a pull is one ordered stream without repeats or gaps, a batch
//! is stored whole or not at all, an input that has no answer closes its connection instead of wedging it, and trouble
//! inside a pull closes the connection, because a client that is told of it would never pull again.

mod http;
mod pull;
mod push;
mod refusal;
mod session;

pub(crate) use http::post;
pub(crate) use refusal::{denied, no_handshake};
pub(crate) use session::Session;
