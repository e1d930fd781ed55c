//! Leader election by file lock.
