//! The generic sync engine.

pub mod sync;
