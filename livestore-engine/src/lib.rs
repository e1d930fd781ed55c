//! The generic sync engine: pure [`sync`], sans-io [`processor`]s, and the tokio [`runtime`] with the [`Store`] handle.

pub mod processor;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(feature = "runtime")]
mod store;
pub mod sync;

#[cfg(feature = "runtime")]
pub use store::*;
