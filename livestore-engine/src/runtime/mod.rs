//! Performs what the processors decide: storage on the leader's thread, network and sessions as tokio tasks.
//!
//! The runtime decides nothing about sync. [`LeaderCore`] is the leader without a thread: it performs storage effects
//! where it is called and hands the others out, so that the same code runs on a thread of its own or inline under a
//! virtual clock.

pub(crate) mod clock;
mod core;
mod leader_handle;
mod leader_thread;
mod link;
mod recovery;
mod session_cell;
mod session_task;
mod upstream;

pub use self::core::{LeaderCore, LeaderFailure, OutwardEffect};
pub use self::recovery::{RecoveryError, RecoveryProgress};

pub use self::leader_thread::UnknownPolicy;

pub(crate) use self::leader_handle::{LeaderHandle, LeaderMessage};
pub(crate) use self::leader_thread::{LeaderSettings, spawn_leader};
pub(crate) use self::link::LocalLink;
pub(crate) use self::session_cell::{ReceiptState, SessionCell};
pub(crate) use self::session_task::spawn_session;
