//! The tables, what each event does to them, and the queries.
//!
//! Clients change items without knowing of each other; the order of events that the server gives decides. Whatever
//! order that is, each event has to make sense: an edit of an item that was removed before does nothing, the last of
//! two edits stays.

use livestore_materializer_sqlite::{SqliteSchema, SqliteView, rusqlite};
use livestore_traits::BoxError;

use crate::events::{TodoAdded, TodoDone, TodoRemoved, TodoTextEdited, events};

/// The table of items, as [`livestore_engine::Session::changes`] names it.
pub(crate) const TODOS: &str = "todos";

/// An item of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Todo {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) is_done: bool,
}

/// Tables and materializers. Raise the version when a materializer changes: the state is then rebuilt from the log.
pub(crate) fn schema() -> Result<SqliteSchema, BoxError> {
    let schema = SqliteSchema::builder(events()?)
        .version(1)
        .table(
            "CREATE TABLE todos (
                id       TEXT PRIMARY KEY,
                position INTEGER NOT NULL,
                text     TEXT NOT NULL,
                is_done  INTEGER NOT NULL DEFAULT 0
            ) STRICT",
        )
        .table("CREATE INDEX todos_by_position ON todos (position)")
        .on::<TodoAdded>(|state, event, context| {
            // The event's number orders the list, the same on every client. A clock would not.
            let position = i64::try_from(context.position().global.0)?;
            state.execute(
                "INSERT INTO todos (id, position, text) VALUES (?1, ?2, ?3)",
                (&event.id, position, &event.text),
            )?;
            Ok(())
        })
        .on::<TodoTextEdited>(|state, event, _| {
            state.execute("UPDATE todos SET text = ?2 WHERE id = ?1", (&event.id, &event.text))?;
            Ok(())
        })
        .on::<TodoDone>(|state, event, _| {
            state.execute("UPDATE todos SET is_done = 1 WHERE id = ?1", [&event.id])?;
            Ok(())
        })
        .on::<TodoRemoved>(|state, event, _| {
            state.execute("DELETE FROM todos WHERE id = ?1", [&event.id])?;
            Ok(())
        })
        .build()?;
    Ok(schema)
}

/// All items in their order.
pub(crate) fn all(view: &SqliteView) -> rusqlite::Result<Vec<Todo>> {
    view.query_map("SELECT id, text, is_done FROM todos ORDER BY position", (), read)
}

/// The items whose ids begin with `prefix`.
pub(crate) fn with_prefix(view: &SqliteView, prefix: &str) -> rusqlite::Result<Vec<Todo>> {
    // Not LIKE: in it, some characters mean others.
    view.query_map(
        "SELECT id, text, is_done FROM todos WHERE substr(id, 1, length(?1)) = ?1 ORDER BY position",
        [prefix],
        read,
    )
}

/// The item with this id, and those whose ids come before and after it: no others can look more like it.
pub(crate) fn near(view: &SqliteView, id: &str) -> rusqlite::Result<Vec<Todo>> {
    view.query_map(
        "SELECT id, text, is_done FROM todos WHERE id IN (
            ?1, (SELECT max(id) FROM todos WHERE id < ?1), (SELECT min(id) FROM todos WHERE id > ?1)
        )",
        [id],
        read,
    )
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Todo> {
    Ok(Todo { id: row.get(0)?, text: row.get(1)?, is_done: row.get(2)? })
}
