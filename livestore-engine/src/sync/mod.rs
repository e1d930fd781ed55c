//! The pure core: what a payload does to a log, decided without clock, randomness, task or I/O.
//!
//! [`merge`] is one function for both levels: the leader merges what sessions push and what the backend sends; a session
//! merges what the application commits and what its leader sends. It changes a [`SyncState`] and tells, as a [`Change`],
//! what the log and the state have to do.

mod advance;
mod amend;
mod invariants;
mod local_push;
mod merge;
mod outcome;
mod payload;
mod renumber;
mod session;
mod state;

pub use merge::merge;
pub use outcome::{Change, MergeError, Outcome, Refusal};
pub use payload::{Amendment, Payload};
pub use state::{Level, SyncState};
