//! Runs one hunt against the real programs; fails if a promise was broken.

#[cfg(unix)]
mod command;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("this needs signals and limits as Unix has them");
}
