//! A source of states: the leader's file and the states of sessions.

use std::path::PathBuf;

use livestore_traits::{MaterializeError, Materializer, MaterializerSource};

use crate::materializer::{SqliteMaterializer, SqliteOptions};
use crate::schema::SqliteSchema;

/// The states of one store: the leader's in a file, those of sessions as the options say.
///
/// A file that turns out to be damaged when it is opened, or when the engine replays the log over it, is made again from
/// the log, since it only saves reading all of the log at each start. SQLite reads no page before it needs it, so damage
/// elsewhere shows as an error of a query or a commit; [`SqliteMaterializer::discard`] is the remedy then, too.
#[derive(Clone, Debug)]
pub struct SqliteStates {
    path: PathBuf,
    schema: SqliteSchema,
    options: SqliteOptions,
}

impl SqliteStates {
    /// States of `schema`, the leader's at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, schema: SqliteSchema) -> Self {
        Self { path: path.into(), schema, options: SqliteOptions::new() }
    }

    /// How they are kept.
    #[must_use]
    pub fn options(mut self, options: SqliteOptions) -> Self {
        self.options = options;
        self
    }
}

impl MaterializerSource for SqliteStates {
    fn open(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        let open = || self.options.clone().open(&self.path, self.schema.clone());
        let state = match open() {
            Err(MaterializeError::Corrupt(error)) => {
                let path = self.path.display();
                tracing::warn!(%path, error = &*error as &dyn std::error::Error, "a damaged state is made again");
                SqliteMaterializer::discard(&self.path)
                    .map_err(|error| MaterializeError::Storage(error.into()))?;
                open()?
            }
            state => state?,
        };
        Ok(Box::new(state))
    }

    fn scratch(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        Ok(Box::new(self.options.scratch(self.schema.clone())?))
    }
}
