//! Records what stood under a key before events touched it, and puts it back.
//!
//! For a table `todos` with the primary key `id` and one more column there are:
//!
//! ```text
//! livestore_undo_todos (id, present, k0, c0)      one row per note, `id` ascending over all tables
//! AFTER INSERT    nothing stood under the new key                       (present = 0, k0)
//! BEFORE UPDATE   the old row; if the key changes, also what stands under the new one
//! BEFORE DELETE   the old row                                           (present = 1, k0, c0)
//! ```
//!
//! Every note is true at the moment it is written, and a key is noted before it changes. So the first note of a key
//! after some moment says what stood there at that moment, in whatever order cascades, `REPLACE` and the users' own
//! triggers follow each other. An insert is the exception: the rowid is known only afterwards. SQLite runs TEMP triggers
//! before those of the schema, so nothing comes between.
//!
//! Undo columns have no declared type: a value keeps the storage class it had.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error};

use crate::catalog::{Catalog, Table, quote};
use crate::guard::{Guard, RESERVED};

/// The SQL that one user table needs.
#[derive(Debug)]
pub(crate) struct TableUndo {
    /// In the state itself.
    pub create_table: String,
    /// For each connection.
    pub create_triggers: [String; 3],
    any_since: String,
    remove_touched: String,
    put_back: String,
    drop_since: String,
    drop_before: String,
}

impl TableUndo {
    pub(crate) fn new(table: &Table) -> Self {
        let name = &table.name;
        let target = quote(name);
        let notes = quote(&format!("{RESERVED}undo_{name}"));
        let trigger = |event: &str| quote(&format!("{RESERVED}{event}_{name}"));
        let columns: Vec<String> = table.columns.iter().map(|column| quote(column)).collect();
        let key: Vec<&str> = table.key.iter().map(|column| column.sql.as_str()).collect();
        let of = |row: &str, names: &[&str]| join(names, ", ", |_, name| format!("{row}{name}"));
        let column_names: Vec<&str> = columns.iter().map(String::as_str).collect();

        let note_key = join(&key, ", ", |i, _| format!("k{i}"));
        let note_columns = join(&column_names, "", |i, _| format!(", c{i}"));
        let note_row = format!("{note_key}{note_columns}");
        let row = |prefix: &str| -> String {
            let rest = join(&column_names, "", |_, column| format!(", {prefix}{column}"));
            format!("{}{rest}", of(prefix, &key))
        };
        let note_old = format!(
            "INSERT INTO {notes} (id, present, {note_row}) VALUES (livestore_undo_id(), 1, {});",
            row("OLD.")
        );
        let note_new_key = format!(
            "INSERT INTO {notes} (id, present, {note_row})
             SELECT livestore_undo_id(), t.{first} IS NOT NULL, {new_key}{rest}
             FROM (SELECT 1) LEFT JOIN main.{target} AS t ON {same} WHERE {moved};",
            first = key[0],
            // What stands there may be written differently, as 2.0 for 2 or 'A' for 'a'.
            new_key = join(&key, ", ", |_, column| format!("ifnull(t.{column}, NEW.{column})")),
            rest = join(&column_names, "", |_, column| format!(", t.{column}")),
            same = join(&key, " AND ", |_, column| format!("t.{column} = NEW.{column}")),
            moved = join(&key, " OR ", |_, column| format!("NEW.{column} IS NOT OLD.{column}")),
        );
        let when = "FOR EACH ROW WHEN livestore_recording() BEGIN";
        Self {
            create_table: format!(
                "CREATE TABLE {notes} (id INTEGER PRIMARY KEY, present INTEGER NOT NULL, {}{note_columns})",
                table
                    .key
                    .iter()
                    .enumerate()
                    .map(|(i, column)| format!("k{i} COLLATE {}", quote(&column.collation)))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            create_triggers: [
                format!(
                    "CREATE TEMP TRIGGER {} AFTER INSERT ON main.{target} {when}
                     INSERT INTO {notes} (id, present, {note_key}) VALUES (livestore_undo_id(), 0, {}); END",
                    trigger("insert"),
                    of("NEW.", &key)
                ),
                format!(
                    "CREATE TEMP TRIGGER {} BEFORE UPDATE ON main.{target} {when} {note_old} {note_new_key} END",
                    trigger("update")
                ),
                format!(
                    "CREATE TEMP TRIGGER {} BEFORE DELETE ON main.{target} {when} {note_old} END",
                    trigger("delete")
                ),
            ],
            any_since: format!("SELECT EXISTS (SELECT 1 FROM {notes} WHERE id >= ?1)"),
            remove_touched: format!(
                "DELETE FROM main.{target} WHERE ({}) IN (SELECT {note_key} FROM {notes} WHERE id >= ?1)",
                of("", &key)
            ),
            put_back: format!(
                "INSERT INTO main.{target} ({}) SELECT {note_row} FROM {notes}
                 WHERE present AND id IN (SELECT min(id) FROM {notes} WHERE id >= ?1 GROUP BY {note_key})",
                row("")
            ),
            drop_since: format!("DELETE FROM {notes} WHERE id >= ?1"),
            drop_before: format!("DELETE FROM {notes} WHERE id < ?1"),
        }
    }

    /// Undoes the notes from `first` on; tells whether there were any.
    fn roll_back(&self, connection: &Connection, first: i64) -> Result<bool, Error> {
        let any: bool = connection.prepare_cached(&self.any_since)?.query_row([first], |row| row.get(0))?;
        if any {
            connection.prepare_cached(&self.remove_touched)?.execute([first])?;
            connection.prepare_cached(&self.put_back)?.execute([first])?;
            connection.prepare_cached(&self.drop_since)?.execute([first])?;
        }
        Ok(any)
    }

    /// Forgets the notes before `first`.
    pub(crate) fn forget(&self, connection: &Connection, first: i64) -> Result<(), Error> {
        connection.prepare_cached(&self.drop_before)?.execute([first]).map(drop)
    }
}

/// Undoes all notes from `first` on, and calls `changed` with the index of each table that had some.
pub(crate) fn roll_back(
    connection: &Connection,
    guard: &Guard,
    catalog: &Catalog,
    tables: &[TableUndo],
    first: i64,
    mut changed: impl FnMut(usize),
) -> Result<(), Error> {
    guard.set_recording(false);
    let _resting = catalog.has_reactions.then(|| Resting::begin(connection)).transpose()?;
    for (index, table) in tables.iter().enumerate() {
        if table.roll_back(connection, first)? {
            changed(index);
        }
    }
    Ok(())
}

/// While it lives, the schema's own triggers and foreign keys rest: what they did was noted and is undone as well.
///
/// Switching makes SQLite compile every statement again, which is why schemas without reactions skip it.
struct Resting<'a>(&'a Connection);

impl<'a> Resting<'a> {
    fn begin(connection: &'a Connection) -> Result<Self, Error> {
        let resting = Self(connection);
        resting.switch(false)?;
        Ok(resting)
    }

    fn switch(&self, on: bool) -> Result<(), Error> {
        self.0.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on)?;
        self.0.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, on).map(drop)
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        // Setting a flag of an open connection has no way to fail.
        let _ = self.switch(true);
    }
}

fn join(names: &[&str], separator: &str, each: impl Fn(usize, &str) -> String) -> String {
    names.iter().enumerate().map(|(i, name)| each(i, name)).collect::<Vec<_>>().join(separator)
}
