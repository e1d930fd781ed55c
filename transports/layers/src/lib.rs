//! Wrappers around any sync backend: Retry and Faulty.
