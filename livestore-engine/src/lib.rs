//! The generic sync engine: it decides nothing about storage or transport, only about sync.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`sync`] | pure: `merge` decides what a payload does to a log |
//! | [`processor`] | sans-io: what a leader and a session do, inputs in, effects out |
//! | [`runtime`] | performs the effects on tokio and a thread |
//! | [`Store`] and its kin | the handle that applications hold |
//!
//! Without the feature `runtime` (on by default) only the first two are there, and no tokio.

pub mod processor;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(test)]
mod sample;
#[cfg(feature = "runtime")]
mod store;
pub mod sync;

#[cfg(feature = "runtime")]
pub use store::*;
