//! The generic sync engine: pure [`sync`], sans-io [`processor`]s, and the tokio runtime with the store handle.

pub mod processor;
pub mod sync;
