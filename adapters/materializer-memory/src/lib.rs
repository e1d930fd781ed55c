//! A materializer over plain Rust values.
