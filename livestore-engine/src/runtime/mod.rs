//! Performs what the processors decide: storage on the leader's thread, network and sessions as tokio tasks.
//!
//! The runtime decides nothing about sync. [`LeaderCore`] is the leader without a thread: it performs storage effects
//! where it is called and hands the others out, so that the same code runs on a thread of its own or inline under a
//! virtual clock.

mod campaign;
pub(crate) mod clock;
mod core;
mod inbox;
mod leader_handle;
mod leader_host;
mod leader_loop;
mod link;
mod member;
mod recovery;
mod session_cell;
mod session_task;
mod upstream;

pub use self::core::{LeaderCore, LeaderFailure, OutwardEffect};
pub use self::recovery::{RecoveryError, RecoveryProgress};

pub use self::leader_host::{LeaderHost, SpawnLeader};
pub use self::leader_loop::UnknownPolicy;

pub(crate) use self::campaign::{Campaigning, Role, SeekError};
pub(crate) use self::leader_loop::{LeaderSettings, NewIdentity, OnReplay, OpenLog, unpoisoned};
pub(crate) use self::member::{BeginError, Member, RelayLink};
pub(crate) use self::session_cell::{ReceiptState, SessionCell};
pub(crate) use self::session_task::spawn_session;
