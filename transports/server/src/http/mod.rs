//! The plain HTTP dialect: pushes, long polls, immutable history.

mod answer;
mod body;
mod history;
mod pull;
mod push;

pub(crate) use answer::{Refusal, ask_for_upgrade, empty, encoding_of, full, health, ok, text};
pub(crate) use body::{discard_body, read_body};
pub(crate) use history::history;
pub(crate) use pull::pull;
pub(crate) use push::push;
