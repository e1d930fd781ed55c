//! Benches of the redb backend.

fn main() {}
