//! Leaders and sessions that meet in a data directory, and those who have no business there.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod attaching;
mod conformance;
mod foreign_leaders;
mod foreign_sessions;
mod places;
mod processes;
mod refusals;
mod silence;
mod snapshots;
mod support;
