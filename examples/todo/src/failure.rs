//! What went wrong, in one sentence for a person.

use std::error::Error;
use std::io;

use livestore_engine::{StartError, runtime::RecoveryError};
use livestore_traits::{EventlogError, LeaderError, MaterializeError};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This is to be told.
    Sentence(String),
    /// Whoever read the output stopped reading, as `head` does: nobody is left to be told anything.
    OutputClosed,
}

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self::Sentence(sentence.into())
    }

    /// What the error says, and what it comes from.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        Self::new(with_sources(error))
    }

    pub(crate) fn report(&self) {
        match self {
            Self::Sentence(sentence) => eprintln!("error: {sentence}"),
            Self::OutputClosed => {}
        }
    }

    /// The output could not be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::new(format!("the output cannot be written: {error}")),
        }
    }

    /// The store could not be started.
    pub(crate) fn start(error: &StartError) -> Self {
        let advice = match error {
            StartError::Election(LeaderError::Storage(source)) => return Self::of(&**source),
            StartError::Recovery(RecoveryError::Eventlog(EventlogError::Corrupt(_))) => {
                "; it holds this client's items, so put a copy of it back, or move the data directory away and sync again"
            }
            StartError::Recovery(RecoveryError::Materialize(MaterializeError::Corrupt(_)))
            | StartError::State(MaterializeError::Corrupt(_)) => {
                "; delete it, and it is made again from the eventlog"
            }
            _ => "",
        };
        Self::new(format!("{}{advice}", with_sources(error)))
    }
}

/// Any error can be told; its sources say what it is about.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

/// The error and what it comes from; an error that only passes another one on says the same, which once is enough.
fn with_sources(error: &(dyn Error + 'static)) -> String {
    let mut parts = vec![error.to_string()];
    for source in std::iter::successors(error.source(), |&error| error.source()) {
        let part = source.to_string();
        if parts.last() != Some(&part) {
            parts.push(part);
        }
    }
    parts.join(": ")
}
