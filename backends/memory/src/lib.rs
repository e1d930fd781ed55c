//! A sync backend in memory.
