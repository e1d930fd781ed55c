//! Runs the built program as its users do.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod crash;
mod offline;
#[cfg(unix)]
mod sharing;
#[cfg(unix)]
mod stopped;
mod support;
mod syncing;
#[cfg(unix)]
mod watching;
