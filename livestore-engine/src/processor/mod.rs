//! The sans-io processors: inputs in, effects out, no clock, randomness, task, lock or I/O.
//!
//! ```text
//!              Input ──▶ LeaderProcessor ──▶ Effect        CommitLog, Materialize, Publish, StartPull, Push …
//!   commit, LeaderItem ──▶ SessionProcessor ──▶ SessionEffect   Apply, Send, Attach …
//! ```
//!
//! The runtime performs effects strictly in order and feeds results back; it decides nothing. That effects come in
//! order is what makes the promises: whatever is published comes after the [`Effect::CommitLog`] that made it durable.

mod backoff;
mod config;
mod effect;
mod input;
mod leader;
mod session;
mod tail;

pub use config::{Diverged, LeaderConfig, SessionConfig};
pub use effect::{Effect, ReadPurpose, StopReason};
pub use input::{AttemptId, Input, LinkId, PullId};
pub use leader::{LeaderProcessor, Recovered, Returning};
pub use livestore_traits::{LeaderStatus, SyncActivity};
pub use session::{
    CommitError, CommitOutcome, ReceiptUpdate, SessionEffect, SessionProcessor, SessionStatus,
    SessionTransaction,
};
