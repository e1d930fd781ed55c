//! An eventlog on SQLite.
