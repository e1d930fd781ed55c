//! A deterministic simulation: one seed decides everything that happens to clients, sessions, networks, logs and a
//! backend, and whatever the real parts do about it is checked.
//!
//! The engine, with its runtime, the logs, the materializers, the elections and the backends are the real ones. One
//! thread runs them all on virtual time, so the same [`Plan`] gives the same trace, byte for byte.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`plan`] | what a seed decides before a run begins |
//! | [`faults`] | what can go wrong |
//! | `script` | what happens next, as the seed says |
//! | `world`, `client`, `election`, `storage`, `server`, `machine`, `ways`, `gate` | what there is, and what can be done to it |
//! | `log`, `server`, `check` | models beside the real parts, compared after every step |
//! | `settle`, `verdict` | the end: convergence in bounded time, nothing lost, nothing twice |
//! | [`broken`] | parts that break a rule on purpose: the checks must notice |
//! | [`shrink`] | makes a failing plan smaller |

pub mod app;
pub mod broken;
mod check;
mod client;
mod election;
pub mod faults;
mod gate;
mod ledger;
mod log;
mod machine;
pub mod plan;
mod record;
mod run;
mod script;
mod server;
mod settle;
pub mod shrink;
mod storage;
mod verdict;
mod wakes;
mod ways;
mod world;

pub use plan::{Layer, Plan};
pub use record::FaultCounts;
pub use run::{Outcome, run};
