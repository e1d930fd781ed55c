//! A sync backend on redb.
