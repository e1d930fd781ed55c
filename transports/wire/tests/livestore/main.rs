//! LiveStore's own protocol: what real clients and servers were recorded to say, and what nobody should.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod decoding;
mod dialects;
mod recordings;
