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
mod tls;
#[cfg(unix)]
mod watching;
