//! The `livestore` command as a process, as people and service managers run it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod access;
mod bench;
mod config;
mod crash;
mod demo;
mod full_disk;
mod refusals;
mod restore;
mod serve;
mod support;
