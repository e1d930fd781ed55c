//! One connection to a state: opened and checked, with statements compiled on behalf of whoever runs them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use livestore_traits::MaterializeError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{CachedStatement, Connection, Error, ffi};

use crate::error::{storage, with_context};
use crate::guard::{Guard, Mode};
use crate::schema::{APPLICATION_ID, FORMAT, SqliteSchema};

/// Statements that are kept compiled, and texts whose effects are remembered.
const STATEMENTS: usize = 256;

/// A former owner of the file may be about to let it go.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// Pages in the write-ahead log before SQLite moves them into the file: 4 MiB in normal operation.
const CHECKPOINT_PAGES: u32 = 1_000;

/// The same during a long catch-up, 64 MiB: most pages would be moved many times.
const CATCH_UP_CHECKPOINT_PAGES: u32 = 16_000;

/// A connection, its guard, and what is known of its statements.
pub(crate) struct Database {
    pub connection: Connection,
    pub guard: Arc<Guard>,
    pub schema: SqliteSchema,
    /// The tables that a statement writes, by its text.
    writes: RefCell<HashMap<Box<str>, Arc<[usize]>>>,
    checkpoint_pages: Cell<u32>,
}

/// What becomes of a state's file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FileUse {
    /// It is opened again, also after a crash.
    Kept,
    /// It is removed with the state, so nothing is spent on surviving a crash.
    Scratch,
}

impl Database {
    /// A state in memory, empty.
    pub(crate) fn in_memory(schema: SqliteSchema) -> Result<Self, MaterializeError> {
        let mut database = Self::new(Connection::open_in_memory().map_err(storage)?, schema)?;
        database.clear()?;
        database.create_undo_triggers()?;
        Ok(database)
    }

    /// The state in the file at `path`; a new one if there is none, or if the file was made by other definitions.
    pub(crate) fn open(path: &Path, schema: SqliteSchema, use_of: FileUse) -> Result<Self, MaterializeError> {
        Self::open_file(path, schema, use_of)
            .map_err(|error| with_context(error, &path.display().to_string()))
    }

    fn open_file(path: &Path, schema: SqliteSchema, use_of: FileUse) -> Result<Self, MaterializeError> {
        let mut database = Self::new(Connection::open(path).map_err(storage)?, schema)?;
        let is_new = database.check_owner()?;
        database.configure_file(use_of).map_err(storage)?;
        if is_new || !database.is_of_these_definitions()? {
            database.clear()?;
        }
        database.create_undo_triggers()?;
        Ok(database)
    }

    fn new(mut connection: Connection, schema: SqliteSchema) -> Result<Self, MaterializeError> {
        let guard = Guard::install(&mut connection).map_err(storage)?;
        let configure = || {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            // Else the rows that `REPLACE` deletes would not be noted.
            connection.pragma_update(None, "recursive_triggers", true)
        };
        configure().map_err(storage)?;
        Ok(Self {
            connection,
            guard,
            schema,
            writes: RefCell::default(),
            checkpoint_pages: Cell::new(CHECKPOINT_PAGES),
        })
    }

    /// Refuses a file that somebody else owns, before anything is written to it; tells whether it is empty.
    fn check_owner(&self) -> Result<bool, MaterializeError> {
        // Held until the file is closed, so that nobody else changes the state behind the head that we remember.
        self.connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(storage)?;
        self.connection.execute_batch("BEGIN IMMEDIATE; COMMIT").map_err(storage)?;
        let number = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        let tables: i64 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
            .map_err(storage)?;
        match (number("application_id").map_err(storage)?, tables) {
            (0, 0) => Ok(true),
            (APPLICATION_ID, _) => match number("user_version").map_err(storage)? {
                FORMAT => Ok(false),
                other => Err(MaterializeError::Storage(
                    format!("the state has format {other}, this program reads {FORMAT}").into(),
                )),
            },
            _ => Err(MaterializeError::Storage("the file belongs to another application".into())),
        }
    }

    fn configure_file(&self, use_of: FileUse) -> Result<(), Error> {
        let (journal, synchronous) = match use_of {
            FileUse::Kept => ("WAL", "NORMAL"),
            FileUse::Scratch => ("MEMORY", "OFF"),
        };
        self.connection.pragma_update(None, "journal_mode", journal)?;
        self.connection.pragma_update(None, "synchronous", synchronous)?;
        self.connection.pragma_update(None, "cache_size", -16_384)?;
        self.connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
    }

    /// Whether the state was made by definitions that would make the same state again.
    ///
    /// A newly declared event changes nothing unless it was met before, so it does not cost a rebuild.
    fn is_of_these_definitions(&self) -> Result<bool, MaterializeError> {
        let (definitions, events) = stored_definitions(&self.connection)?;
        if definitions != self.schema.definitions() || events.lines().any(|name| !self.schema.knows(name)) {
            return Ok(false);
        }
        let read = || -> Result<Vec<String>, Error> {
            self.connection
                .prepare("SELECT name FROM livestore_unknown")?
                .query_map((), |row| row.get(0))?
                .collect()
        };
        if read().map_err(storage)?.iter().any(|name| self.schema.knows(name)) {
            return Ok(false);
        }
        self.connection
            .execute("UPDATE livestore_meta SET value = ?1 WHERE key = 'events'", [self.schema.event_names()])
            .map_err(storage)?;
        Ok(true)
    }

    /// Replaces all content by an empty state, in one transaction.
    pub(crate) fn clear(&mut self) -> Result<(), MaterializeError> {
        let mut template = Connection::open_in_memory().map_err(storage)?;
        let guard = Guard::install(&mut template).map_err(storage)?;
        self.schema.lay_out(&template, &guard)?;
        self.replace_by(&template)
    }

    /// Replaces all content by that of `source`, in one transaction.
    pub(crate) fn replace_by(&mut self, source: &Connection) -> Result<(), MaterializeError> {
        copy(source, &mut self.connection)
    }

    /// A copy of all content in memory.
    pub(crate) fn to_memory(&self) -> Result<Connection, MaterializeError> {
        let mut target = Connection::open_in_memory().map_err(storage)?;
        copy(&self.connection, &mut target)?;
        Ok(target)
    }

    fn create_undo_triggers(&self) -> Result<(), MaterializeError> {
        self.schema
            .undo()
            .iter()
            .flat_map(|undo| &undo.create_triggers)
            .try_for_each(|sql| self.connection.execute_batch(sql))
            .map_err(storage)
    }

    /// Lets the write-ahead log grow during a long catch-up.
    pub(crate) fn set_catching_up(&self, catching_up: bool) -> Result<(), MaterializeError> {
        let pages = if catching_up { CATCH_UP_CHECKPOINT_PAGES } else { CHECKPOINT_PAGES };
        if pages != self.checkpoint_pages.get() && self.connection.path().is_some_and(|path| !path.is_empty())
        {
            self.connection.pragma_update(None, "wal_autocheckpoint", pages).map_err(storage)?;
            self.checkpoint_pages.set(pages);
        }
        Ok(())
    }

    /// Until the answer is dropped, statements are compiled on behalf of this crate.
    pub(crate) fn own(&self) -> Own<'_> {
        self.guard.enter(Mode::Own);
        Own(&self.guard)
    }

    /// Compiles a statement of a materializer; tells also which tables it writes.
    pub(crate) fn prepare_write(&self, sql: &str) -> Result<(CachedStatement<'_>, Arc<[usize]>), Error> {
        let writes = self.writes.borrow().get(sql).map(Arc::clone);
        let writes = match writes {
            Some(writes) => writes,
            None => self.learn_writes(sql)?,
        };
        Ok((self.connection.prepare_cached(sql)?, writes))
    }

    /// Compiles for the authorizer's sake: a statement that comes out of the cache passes no authorizer.
    fn learn_writes(&self, sql: &str) -> Result<Arc<[usize]>, Error> {
        self.guard.take_compiled();
        self.connection.prepare(sql).map_err(|error| self.explain(error))?;
        let compiled = self.guard.take_compiled();
        let names = self.schema.table_names();
        let writes: Arc<[usize]> = (0..names.len())
            .filter(|&index| compiled.writes.iter().any(|name| **name == *names[index]))
            .collect();
        let mut known = self.writes.borrow_mut();
        if known.len() >= STATEMENTS {
            known.clear();
        }
        known.insert(sql.into(), Arc::clone(&writes));
        Ok(writes)
    }

    /// Compiles a query.
    pub(crate) fn prepare_read(&self, sql: &str) -> Result<CachedStatement<'_>, Error> {
        let statement = self.connection.prepare_cached(sql).map_err(|error| self.explain(error))?;
        // The text may be one that a materializer runs, and so come out of the cache.
        if statement.readonly() {
            Ok(statement)
        } else {
            Err(refused("a view may only read, not write rows".to_owned()))
        }
    }

    fn explain(&self, error: Error) -> Error {
        self.guard.take_compiled().refused.map_or(error, refused)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("path", &self.connection.path())
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// See [`Database::own`].
pub(crate) struct Own<'a>(&'a Guard);

impl Drop for Own<'_> {
    fn drop(&mut self) {
        self.0.enter(Mode::Read);
    }
}

/// The definitions and the event names of which a state was made.
pub(crate) fn stored_definitions(connection: &Connection) -> Result<(String, String), MaterializeError> {
    let read = |key: &str| {
        connection
            .query_row("SELECT value FROM livestore_meta WHERE key = ?1", [key], |row| row.get(0))
            .map_err(|error| match error {
                Error::QueryReturnedNoRows => {
                    MaterializeError::Corrupt("the state does not name its definitions".into())
                }
                other => storage(other),
            })
    };
    Ok((read("definitions")?, read("events")?))
}

fn copy(source: &Connection, target: &mut Connection) -> Result<(), MaterializeError> {
    let backup = Backup::new(source, target).map_err(storage)?;
    match backup.step(-1).map_err(storage)? {
        StepResult::Done => Ok(()),
        _ => Err(MaterializeError::Storage("the state is in use".into())),
    }
}

fn refused(reason: String) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_AUTH), Some(reason))
}
