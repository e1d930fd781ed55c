//! A materializer over SQLite.
