//! Why a command failed, as one sentence for the person who ran it.

use std::error::Error;
use std::fmt;

use livestore_traits::BoxError;

/// Why a command failed. Displays as one line: what failed, its causes joined by `: `, and what to do about it.
#[derive(Debug)]
pub(crate) struct CommandError {
    what: String,
    cause: Option<BoxError>,
    hint: Option<String>,
}

impl CommandError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hint: None }
    }

    pub(crate) fn caused_by(mut self, cause: impl Into<BoxError>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Says what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {}", chain(&**cause))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// An error and its sources in one line. A source that the error before it quotes is not said twice.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    // Libraries may break lines; a log and a terminal want one.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Quoting(std::io::Error);

    impl fmt::Display for Quoting {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "the file\nis bad: {}", self.0)
        }
    }

    impl Error for Quoting {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_is_one_line_that_says_nothing_twice() {
        let error = Quoting(std::io::Error::other("no such device"));
        let error = CommandError::new("cannot serve").caused_by(error).hint("plug it in");
        assert_eq!(error.to_string(), "cannot serve: the file is bad: no such device; plug it in");
    }
}
