//! How far tests look.

use std::env::{self, VarError};

/// What says how far.
const VARIABLE: &str = "LIVESTORE_SEARCH";

/// How many seeds a test tries that tries `own` in a plain run: `LIVESTORE_SEARCH` times as many, and at least one.
///
/// # Panics
/// If `LIVESTORE_SEARCH` is no such factor.
#[must_use]
pub fn seeds(own: u64) -> u64 {
    match env::var(VARIABLE) {
        Ok(factor) => times(own, &factor),
        Err(VarError::NotPresent) => own,
        Err(VarError::NotUnicode(text)) => panic!("{VARIABLE} is {text:?}, which is no text"),
    }
}

fn times(own: u64, factor: &str) -> u64 {
    let times = factor.parse().ok().filter(|times: &f64| times.is_finite() && *times >= 0.0);
    let times = times.unwrap_or_else(|| {
        panic!("{VARIABLE} is {factor:?}; it says how many times the usual seeds are tried, as 10 or 0.1")
    });
    ((own as f64 * times).ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_scales_and_leaves_one_seed_at_least() {
        for (factor, expected) in [("1", 60), ("10", 600), ("0.1", 6), ("0.01", 1), ("0", 1)] {
            assert_eq!(times(60, factor), expected, "{factor}");
        }
    }

    #[test]
    fn what_is_no_factor_is_told() {
        for text in ["", "deep", "-1", "inf", "NaN"] {
            let told = std::panic::catch_unwind(|| times(60, text)).unwrap_err();
            let told = told.downcast_ref::<String>().unwrap();
            assert!(told.starts_with(&format!("LIVESTORE_SEARCH is {text:?}; ")), "{told}");
        }
    }
}
