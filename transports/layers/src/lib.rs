//! Wrappers around any [`SyncBackend`](livestore_traits::SyncBackend), each a `SyncBackend` itself, so that they stack
//! on backends, on transports and on each other.
//!
//! | wrapper | what it does |
//! | --- | --- |
//! | [`Retry`] | hides faults that pass: repeats pushes, reopens pulls, with jittered backoff |
//! | [`Faulty`] | makes faults, scripted or from a seed, for tests |
//!
//! ```
//! # use livestore_layers::{Fault, Faulty, Retry, RetryConfig};
//! # fn stack<B: livestore_traits::SyncBackend>(backend: B) -> impl livestore_traits::SyncBackend {
//! // The answer to the first push is lost; the caller never notices.
//! Retry::new(Faulty::scripted(backend, [Fault::LoseAnswer]), RetryConfig::new(7))
//! # }
//! ```

mod backoff;
mod fault;
mod faulty;
mod retry;
mod trim;

pub use backoff::RetryConfig;
pub use fault::{Fault, FaultRates};
pub use faulty::Faulty;
pub use retry::Retry;
