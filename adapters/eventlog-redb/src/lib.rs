//! An eventlog on redb.
