//! Runs fuzz targets: mutates their corpus, runs single inputs, keeps the corpus.
//!
//! Built by `tests/fuzz/hunt`, it is a libFuzzer program instead, for the target that `FUZZ_TARGET` names.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod hunted {
    use std::sync::LazyLock;

    use livestore_fuzz::{TARGETS, Target};

    static TARGET: LazyLock<&Target> = LazyLock::new(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        TARGETS.iter().find(|target| target.name == name).expect("FUZZ_TARGET names one of the targets")
    });

    libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.run(input));
}

#[cfg(not(fuzzing))]
mod command;

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    command::run()
}
