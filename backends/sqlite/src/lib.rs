//! A sync backend on SQLite.
