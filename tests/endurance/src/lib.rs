//! Hunts for what breaks the real programs, `livestore serve` and `todo`: as processes, with files and sockets.
//!
//! ```text
//! binaries   where the programs are, built if need be
//! server     one `livestore serve`: started, killed, stopped, started again on its port
//! usage      what a process holds: memory, files, threads
//! cable      a TCP proxy that is slow, stalls, or breaks in the middle of a frame
//! writer     a client that pushes, and keeps every acknowledgement
//! ledger     what a server's log has to hold, and the comparison with it
//! todo       processes of `todo` on shared data dirs, and what they promised
//! findings   figures and violations
//! hunts      what is done to them, one file each
//! ```
//!
//! Whatever was acknowledged is kept outside of the programs, and compared at the end with what they have. A push or
//! commit whose answer was lost may be there or not, but not twice.
//!
//! Every hunt is bounded in time, uses the loopback only, and leaves no files behind. Its random choices come from a seed;
//! how processes and the system interleave does not, so a seed repeats the kind of a run, not its schedule.
#![cfg(unix)]

pub mod binaries;
pub mod cable;
pub mod findings;
pub mod hunts;
pub mod ledger;
pub mod server;
pub mod todo;
pub mod usage;
pub mod writer;

/// How long any one answer may take, and any recovery. Far above what they do take: reaching it is a hang.
pub const HANG: std::time::Duration = std::time::Duration::from_secs(60);

/// An error of the harness itself: there is no verdict. What the programs do wrong is a finding instead.
pub type HarnessResult<T> = Result<T, livestore_traits::BoxError>;
