//! Scripts for the session's processor: what it is told, and the effects that follow. No runtime, no sleep.

mod bench;
mod committing;
mod following;
mod losing;
#[path = "../support/ids.rs"]
#[expect(dead_code, reason = "a session knows no backend")]
mod support;
