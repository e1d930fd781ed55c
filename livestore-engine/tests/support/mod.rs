//! What the tests of the leader's processor share: names, and a log in memory that can be copied.

mod ids;
mod log;

pub(crate) use self::ids::*;
pub(crate) use self::log::Log;
