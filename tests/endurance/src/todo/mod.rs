//! Processes of `todo` that share data dirs, what they promised, and whether it was kept.

mod agents;
mod data_dir;
mod promises;
mod replay;

pub use agents::{Agent, AgentReport, Role};
pub use data_dir::{Ended, TodoDir, ended};
pub use promises::{Promises, Said};
pub use replay::{replay, without_ids};
