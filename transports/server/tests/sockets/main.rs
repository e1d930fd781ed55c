//! Servers and clients on real sockets, beyond what the conformance suite asks of a backend.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auth;
mod bad_input;
mod clients;
mod ending;
mod guarded;
mod livestore;
mod serving;
mod support;
