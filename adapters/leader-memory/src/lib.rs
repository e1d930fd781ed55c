//! Leader election inside one process.
