//! The tables in which a state keeps its own books: which definitions made it, up to where it goes, how far it can be
//! undone, and which events it could not apply.
//!
//! All but the definitions are keyed by log, so that several logs can feed one state.

use livestore_traits::{
    EventName, GlobalSeq, MaterializeError, Position, Quarantined, RebaseGeneration, SeqNum,
};
use rusqlite::{Connection, Error, OptionalExtension, Row};

use crate::error::storage;

pub(crate) const CREATE: &str = "
    CREATE TABLE livestore_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE livestore_heads (
        log TEXT PRIMARY KEY, global INTEGER NOT NULL, client INTEGER NOT NULL, generation INTEGER NOT NULL,
        floor_global INTEGER NOT NULL, floor_client INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE livestore_events (
        log TEXT NOT NULL, global INTEGER NOT NULL, client INTEGER NOT NULL,
        first_undo INTEGER NOT NULL, end_undo INTEGER NOT NULL, sequences TEXT,
        PRIMARY KEY (log, global, client)
    ) WITHOUT ROWID;
    CREATE TABLE livestore_quarantine (
        log TEXT NOT NULL, global INTEGER NOT NULL, client INTEGER NOT NULL, generation INTEGER NOT NULL,
        name TEXT NOT NULL, error TEXT NOT NULL, PRIMARY KEY (log, global, client)
    ) WITHOUT ROWID;
    CREATE TABLE livestore_unknown (name TEXT PRIMARY KEY) WITHOUT ROWID;";

/// Up to where a state goes for one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    /// The last applied event.
    pub head: SeqNum,
    /// The state can be undone to here, not further.
    pub floor: Position,
}

impl Heads {
    pub(crate) const ROOT: Self = Self { head: SeqNum::ROOT, floor: Position::ROOT };
}

/// What undoing an event needs beside the notes of its rows.
#[derive(Debug)]
pub(crate) struct EventUndo {
    /// Its first note; the notes of later events follow.
    pub first_undo: i64,
    /// The note after its last one.
    pub end_undo: i64,
    /// The `AUTOINCREMENT` counters before it, if the schema has any.
    pub sequences: Option<String>,
}

/// The books of one log in one state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger<'a> {
    pub connection: &'a Connection,
    pub log: &'a str,
}

impl Ledger<'_> {
    pub(crate) fn heads(self) -> Result<Heads, MaterializeError> {
        self.connection
            .prepare_cached(
                "SELECT global, client, generation, floor_global, floor_client FROM livestore_heads WHERE log = ?1",
            )
            .and_then(|mut select| {
                select
                    .query_row([self.log], |row| {
                        let floor = Position { global: global(row, 3)?, client: row.get(4)? };
                        Ok(Heads { head: seq_num(row)?, floor })
                    })
                    .optional()
            })
            .map(|heads| heads.unwrap_or(Heads::ROOT))
            .map_err(storage)
    }

    pub(crate) fn set_heads(self, heads: &Heads) -> Result<(), MaterializeError> {
        let Heads { head, floor } = heads;
        self.execute(
            "INSERT OR REPLACE INTO livestore_heads VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                self.log,
                integer(head.global.0)?,
                head.client,
                integer(head.generation.0)?,
                integer(floor.global.0)?,
                floor.client,
            ),
        )
    }

    /// Stores how to undo the event at `position`.
    pub(crate) fn add_event(self, position: Position, undo: &EventUndo) -> Result<(), MaterializeError> {
        self.execute(
            "INSERT INTO livestore_events VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                self.log,
                integer(position.global.0)?,
                position.client,
                undo.first_undo,
                undo.end_undo,
                &undo.sequences,
            ),
        )
    }

    /// The first event after `position` that has something to undo; all later ones are undone with it.
    pub(crate) fn first_event_after(self, position: Position) -> Result<Option<EventUndo>, MaterializeError> {
        self.connection
            .prepare_cached(
                "SELECT first_undo, end_undo, sequences FROM livestore_events
                 WHERE log = ?1 AND (global, client) > (?2, ?3) ORDER BY global, client LIMIT 1",
            )
            .map_err(storage)?
            .query_row((self.log, integer(position.global.0)?, position.client), |row| {
                Ok(EventUndo { first_undo: row.get(0)?, end_undo: row.get(1)?, sequences: row.get(2)? })
            })
            .optional()
            .map_err(storage)
    }

    /// Takes the events after `position` out of the books.
    pub(crate) fn remove_after(self, position: Position) -> Result<(), MaterializeError> {
        let bound = (self.log, integer(position.global.0)?, position.client);
        self.execute("DELETE FROM livestore_events WHERE log = ?1 AND (global, client) > (?2, ?3)", bound)?;
        self.execute("DELETE FROM livestore_quarantine WHERE log = ?1 AND (global, client) > (?2, ?3)", bound)
    }

    /// Forgets how to undo the events up to `position`; tells whether there was something to forget.
    pub(crate) fn forget_through(self, position: Position) -> Result<bool, MaterializeError> {
        self.connection
            .prepare_cached("DELETE FROM livestore_events WHERE log = ?1 AND (global, client) <= (?2, ?3)")
            .map_err(storage)?
            .execute((self.log, integer(position.global.0)?, position.client))
            .map(|forgotten| forgotten > 0)
            .map_err(storage)
    }

    /// The first note that is still needed, if one is.
    pub(crate) fn first_undo(self) -> Result<Option<i64>, MaterializeError> {
        self.number(
            "SELECT min((SELECT first_undo FROM livestore_events AS e WHERE e.log = h.log ORDER BY global, client LIMIT 1))
             FROM livestore_heads AS h",
        )
    }

    /// The number after the last note, if there are any.
    pub(crate) fn end_undo(self) -> Result<Option<i64>, MaterializeError> {
        self.number("SELECT max(end_undo) FROM livestore_events")
    }

    fn number(self, sql: &str) -> Result<Option<i64>, MaterializeError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut select| select.query_row((), |row| row.get(0)))
            .map_err(storage)
    }

    pub(crate) fn quarantine(self, event: &Quarantined) -> Result<(), MaterializeError> {
        let num = event.num;
        self.execute(
            "INSERT INTO livestore_quarantine VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                self.log,
                integer(num.global.0)?,
                num.client,
                integer(num.generation.0)?,
                event.name.as_str(),
                &event.error,
            ),
        )
    }

    pub(crate) fn quarantined(self) -> Result<Vec<Quarantined>, MaterializeError> {
        self.connection
            .prepare_cached(
                "SELECT global, client, generation, name, error FROM livestore_quarantine WHERE log = ?1
                 ORDER BY global, client",
            )
            .and_then(|mut select| {
                select
                    .query_map([self.log], |row| {
                        let name = EventName::new(row.get::<_, String>(3)?)
                            .map_err(|invalid| from_sql_error(3, invalid))?;
                        Ok(Quarantined { num: seq_num(row)?, name, error: row.get(4)? })
                    })?
                    .collect()
            })
            .map_err(storage)
    }

    /// Remembers that an event of this name was met and not applied.
    pub(crate) fn add_unknown(self, name: &EventName) -> Result<(), MaterializeError> {
        self.execute("INSERT OR IGNORE INTO livestore_unknown VALUES (?1)", [name.as_str()])
    }

    fn execute(self, sql: &str, params: impl rusqlite::Params) -> Result<(), MaterializeError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map(drop)
            .map_err(storage)
    }
}

/// The `AUTOINCREMENT` counters as JSON.
pub(crate) fn read_sequences(connection: &Connection) -> Result<String, Error> {
    connection
        .prepare_cached("SELECT json_group_object(name, seq) FROM sqlite_sequence")?
        .query_row((), |row| row.get(0))
}

/// Sets the `AUTOINCREMENT` counters to what [`read_sequences`] read.
pub(crate) fn write_sequences(connection: &Connection, sequences: &str) -> Result<(), Error> {
    connection.prepare_cached("DELETE FROM sqlite_sequence")?.execute(())?;
    connection
        .prepare_cached("INSERT INTO sqlite_sequence (name, seq) SELECT key, value FROM json_each(?1)")?
        .execute([sequences])
        .map(drop)
}

fn integer(number: u64) -> Result<i64, MaterializeError> {
    i64::try_from(number)
        .map_err(|_| MaterializeError::Storage(format!("{number} is beyond the integers of SQLite").into()))
}

fn global(row: &Row<'_>, index: usize) -> Result<GlobalSeq, Error> {
    let number: i64 = row.get(index)?;
    u64::try_from(number).map(GlobalSeq).map_err(|_| Error::IntegralValueOutOfRange(index, number))
}

/// Reads the first three columns.
fn seq_num(row: &Row<'_>) -> Result<SeqNum, Error> {
    let position = Position { global: global(row, 0)?, client: row.get(1)? };
    Ok(SeqNum::new(position, RebaseGeneration(global(row, 2)?.0)))
}

fn from_sql_error(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
}
