//! What the command prints, and its log.
//!
//! What a person asked for goes to stdout; the log and errors go to stderr, so that stdout can be piped.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::error::CommandError;

/// What `livestore serve` logs unless something else is asked for.
pub(crate) const SERVE_LOG: &str = "info";

/// Prints a line. A reader that went away, as `livestore demo | head` does, is no reason to stop.
pub(crate) fn say(line: impl Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// A number of things, in words.
pub(crate) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Prints why the command failed.
pub(crate) fn complain(error: &CommandError) {
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// Starts the log.
pub(crate) fn log(filter: &str) -> Result<(), CommandError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| CommandError::new(format!("{filter:?} is no log filter")).caused_by(error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    Ok(())
}

/// Checks a log filter while the command line is read.
pub(crate) fn parse_filter(text: &str) -> Result<String, ParseError> {
    EnvFilter::try_new(text)?;
    Ok(text.to_owned())
}
