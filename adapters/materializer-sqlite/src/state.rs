//! The handle through which materializers read and write the state.

use std::cell::RefCell;

use rusqlite::{CachedStatement, Error, Params, Row};

use crate::database::Database;
use crate::error;

/// The state inside the transaction that applies an event.
///
/// Statements are compiled once and kept, so pass values as parameters rather than in the text. Only rows can be read
/// and written; what else SQL can do is refused.
///
/// # Errors
/// All methods return the error of SQLite. A materializer that passes it on fails its event.
#[derive(Debug)]
pub struct SqliteState<'a> {
    database: &'a Database,
    changed: &'a RefCell<Vec<bool>>,
    /// Kept here because a materializer may hide it, and a full disk must not pass for a failed event.
    storage_failure: RefCell<Option<Error>>,
}

impl<'a> SqliteState<'a> {
    pub(crate) const fn new(database: &'a Database, changed: &'a RefCell<Vec<bool>>) -> Self {
        Self { database, changed, storage_failure: RefCell::new(None) }
    }

    /// Runs a statement that returns no rows; tells how many rows it changed.
    ///
    /// # Errors
    /// As [`SqliteState`] says.
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        self.run(sql, |statement| statement.execute(params))
    }

    /// Reads the first row.
    ///
    /// # Errors
    /// Also [`Error::QueryReturnedNoRows`]; see [`rusqlite::OptionalExtension`].
    pub fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.run(sql, |statement| statement.query_row(params, read))
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// As [`SqliteState`] says.
    pub fn query_map<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.run(sql, |statement| statement.query_map(params, read)?.collect())
    }

    pub(crate) fn into_storage_failure(self) -> Option<Error> {
        self.storage_failure.into_inner()
    }

    fn run<T>(
        &self,
        sql: &str,
        run: impl FnOnce(&mut CachedStatement<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let connection = &self.database.connection;
        let result = self.database.prepare_write(sql).and_then(|(mut statement, writes)| {
            let before = connection.total_changes();
            let result = run(&mut statement);
            // Also after an error: rows that `OR FAIL` changed before it stay changed, those of its triggers uncounted.
            if result.is_err() || connection.total_changes() != before {
                let mut changed = self.changed.borrow_mut();
                writes.iter().for_each(|&table| changed[table] = true);
            }
            result
        });
        if let Err(error) = &result
            && error::is_storage_failure(error)
        {
            *self.storage_failure.borrow_mut() = error::copy(error);
        }
        result
    }
}
