//! Benches of the SQLite backend.

fn main() {}
