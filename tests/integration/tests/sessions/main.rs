//! Many sessions of several clients: what holds whatever they do, and whoever leads them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod chance;
mod client;
mod ledger;
mod races;
mod rigged;
mod script;
mod verdict;
mod world;
