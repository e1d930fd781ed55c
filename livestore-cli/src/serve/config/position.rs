//! Where in a file something is wrong, for people.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use crate::error::CommandError;

/// A text and the file it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error about what is at `span`, as `livestore.toml:7: what is wrong`.
    pub(super) fn error(self, span: Range<usize>, problem: impl Display) -> CommandError {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        CommandError::new(format!("{}:{line}: {problem}", self.path.display()))
    }

    /// What the TOML library says, with the key of the line that it speaks of.
    pub(super) fn toml_error(self, error: &toml::de::Error) -> CommandError {
        let span = error.span().unwrap_or_default();
        // Of the library's message only the first line is a sentence.
        let message = error.message().lines().next().unwrap_or_default();
        match self.key_at(span.start) {
            Some(key) if !message.contains(key) => self.error(span, format_args!("{key}: {message}")),
            _ => self.error(span, message),
        }
    }

    /// The key of the line around `at`, if it has one before `at`.
    fn key_at(&self, at: usize) -> Option<&str> {
        let before = self.text.get(..at)?;
        let line = &before[before.rfind('\n').map_or(0, |newline| newline + 1)..];
        line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty() && !key.starts_with('#'))
    }
}
