//! An eventlog in memory.
