//! Scripts for the leader's processor: inputs, and the effects they lead to. No runtime, no sleep.

mod bench;
mod diverging;
mod pulling;
mod pushing;
mod serving;
#[path = "../support/mod.rs"]
mod support;
