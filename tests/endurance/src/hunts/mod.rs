//! The hunts. Each returns its findings; an error means that there is no verdict.

pub mod disk_full;
pub mod flood;
pub mod idle;
pub mod kills;
pub mod never_reads;
pub mod restarts;
pub mod slow_link;
pub mod soak;
