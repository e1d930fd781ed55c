//! What went wrong, in one sentence for a person.

use std::error::Error;
use std::io;
use std::panic;
use std::path::Path;

use livestore_data_dir::DataDir;
use livestore_engine::{StartError, runtime::RecoveryError};
use livestore_materializer_sqlite::rusqlite;
use livestore_traits::{EventlogError, LeaderError, LinkError, MaterializeError};

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
    pub(crate) fn start(error: &StartError, data_dir: &DataDir) -> Self {
        let advice = match error {
            StartError::Election(LeaderError::Storage(source)) => return Self::of(&**source),
            StartError::NoLeader { led_by } => return Self::no_answer(led_by.as_deref(), ""),
            StartError::Leader(LinkError::Incompatible(why)) => {
                return Self::new(format!(
                    "this program does not fit one that uses the data directory: {why}"
                ));
            }
            StartError::Recovery(RecoveryError::Eventlog(EventlogError::Corrupt(_))) => {
                "; it holds this client's items, so put a copy of it back, or move the data directory away and sync again"
            }
            StartError::Recovery(RecoveryError::Materialize(_)) | StartError::State(_) => {
                return Self::state(error, &data_dir.state());
            }
            _ => "",
        };
        Self::new(format!("{}{advice}", with_sources(error)))
    }

    /// Another program leads and does not answer.
    pub(crate) fn no_answer(led_by: Option<&str>, advice: &str) -> Self {
        let leader = led_by.unwrap_or("another program");
        Self::new(format!(
            "{leader} leads on this data directory and does not answer: it may be stopped; let it go on, or end it{advice}"
        ))
    }

    /// Another program leads and does not let this one in.
    pub(crate) fn shut_out(leader: &str) -> Self {
        Self::new(format!(
            "this program cannot follow {leader}, which leads on this data directory now: it may be of another version; \
             end it, and see with `list` what is saved"
        ))
    }

    /// Something failed that reads or writes the state. The layers that notice damage do not know which file it is.
    pub(crate) fn state(error: &(dyn Error + 'static), path: &Path) -> Self {
        let is_damage = |error: &(dyn Error + 'static)| {
            matches!(error.downcast_ref(), Some(MaterializeError::Corrupt(_)))
                || error
                    .downcast_ref::<rusqlite::Error>()
                    .and_then(rusqlite::Error::sqlite_error_code)
                    .is_some_and(|code| code == rusqlite::ErrorCode::DatabaseCorrupt)
        };
        let mut chain = std::iter::successors(Some(error), |&error| error.source());
        let advice = chain
            .any(is_damage)
            .then(|| format!("; delete {}, and it is made again from the eventlog", path.display()));
        Self::new(with_sources(error) + &advice.unwrap_or_default())
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

/// Keeps quiet about panics of redb, which it meets some damaged files with: the eventlog turns them into errors, and
/// those say all there is to say. Any other panic is a bug and is reported.
pub(crate) fn quiet_about_damage() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|location| location.file().contains("/redb-")) {
            report(panic);
        }
    }));
}
