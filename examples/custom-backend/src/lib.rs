//! A sync backend in one file.
