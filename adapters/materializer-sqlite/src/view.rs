//! What applications query.

use rusqlite::{CachedStatement, Error, Params, Row};

use crate::database::Database;

/// The state, to be read. Statements are compiled once and kept; those that would write are refused.
///
/// It is what [`Materializer::view`](livestore_traits::Materializer::view) of a
/// [`SqliteMaterializer`](crate::SqliteMaterializer) downcasts to. A query sees every event applied so far.
///
/// # Errors
/// All methods return the error of SQLite, which for a statement that would write has the code `SQLITE_AUTH`.
#[derive(Debug)]
pub struct SqliteView {
    pub(crate) database: Database,
}

impl SqliteView {
    /// Compiles a query.
    ///
    /// # Errors
    /// As [`SqliteView`] says.
    pub fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, Error> {
        self.database.prepare_read(sql)
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
        self.prepare(sql)?.query_row(params, read)
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// As [`SqliteView`] says.
    pub fn query_map<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.prepare(sql)?.query_map(params, read)?.collect()
    }
}
