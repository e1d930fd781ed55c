//! Real processes on one data directory, killed at any moment.
//!
//! A process of a test is this program once more: [`worker::process`] does what the test that started it asks for.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod app;
mod handover;
mod killed;
mod misuse;
mod names;
mod stopped;
mod worker;
