//! The store as an application uses it, one theme per file.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod changes;
mod commits;
mod damaged;
mod diverged;
mod errors;
mod history;
mod identity;
mod initial_sync;
mod leadership;
mod lifetime;
mod link;
mod polling;
mod quarantine;
mod rejected;
mod sessions;
mod support;
mod takeover;
mod unknown;
