//! What `merge` decides: a table of cases in event notation, one or more per rule, and properties over generated
//! histories, against the definition of merge as a fold over single events.
//!
//! `PROPTEST_CASES` is the number of generated cases of every property instead of its own.
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect is to fail")]

mod accounts;
mod cases;
mod clients;
mod fold;
mod garbage;
mod leader;
mod log;
mod notation;
mod session_cases;
mod sessions;

use proptest::test_runner::Config;

/// `cases` of them, as fits the cost of one, if nothing else is asked for.
fn cases(cases: u32) -> Config {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    Config {
        cases: wanted.unwrap_or(cases),
        // A failing case is printed; it becomes a row of the table, not a seed in a file.
        failure_persistence: None,
        ..Config::default()
    }
}
