//! Says which flag `tests/fuzz/hunt` builds with, so that the compiler does not take it for a slip.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    println!("cargo::rerun-if-changed=build.rs");
}
