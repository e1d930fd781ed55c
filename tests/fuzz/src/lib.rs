//! Fuzzing of everything that reads bytes from the network.
//!
//! A [`Target`] is a name and a function that takes any bytes and panics if something does not hold. There is one list of
//! them, [`TARGETS`], and a corpus of inputs for each in `corpus/<target>.txt`, which three programs use:
//!
//! | program | does | when |
//! | --- | --- | --- |
//! | `tests/replay.rs` | runs every input of the corpus | `cargo test` |
//! | `livestore-fuzz search` | tries mutations of the corpus, the same ones for the same seed | `.ci/run` |
//! | `tests/fuzz/hunt` | searches with libFuzzer, led by coverage, and grows the corpus | by hand |
//!
//! Beside what its target checks, each run fails if anything panicked that was caught on the way (a task takes only itself
//! down, unseen), or if more memory was in use at once than [`Target::max_bytes`] allows.

mod corpus;
mod mutate;
mod run;
mod seeds;
mod targets;

pub use corpus::Corpus;
pub use mutate::mutate;
pub use run::Target;
pub use seeds::seeds;
pub use targets::TARGETS;
