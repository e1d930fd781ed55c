//! A small application: notes in the order in which everybody gets them. Its state comes in two kinds, a Rust value and
//! SQL tables; the event is the same for both.

use livestore_engine::Session;
use livestore_materializer_memory::MemorySchema;
use livestore_materializer_sqlite::{SqliteSchema, SqliteView};
use livestore_traits::{BoxError, EventSet, TypedEvent};
use serde::{Deserialize, Serialize};

/// Somebody wrote a note.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NoteAdded {
    pub(crate) text: String,
}

impl TypedEvent for NoteAdded {
    const NAME: &'static str = "v1.NoteAdded";
}

/// The notes, in their order.
pub(crate) type Notes = Vec<String>;

/// The state as a Rust value.
pub(crate) fn memory_schema() -> Result<MemorySchema<Notes>, BoxError> {
    let schema = MemorySchema::builder(EventSet::builder().event::<NoteAdded>().build()?)
        .on::<NoteAdded>(|notes: &mut Notes, event, _| {
            notes.push(event.text);
            Ok(())
        })
        .build()?;
    Ok(schema)
}

/// Reads the Rust value.
pub(crate) fn read_memory(session: &Session) -> Result<Notes, BoxError> {
    Ok(session.query(|notes: &Notes| notes.clone())?)
}

/// The state as a table.
pub(crate) fn sqlite_schema() -> Result<SqliteSchema, BoxError> {
    let schema = SqliteSchema::builder(EventSet::builder().event::<NoteAdded>().build()?)
        .table("CREATE TABLE notes (position INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        .on::<NoteAdded>(|state, event, context| {
            let position = i64::try_from(context.position().global.0)?;
            state.execute("INSERT INTO notes VALUES (?1, ?2)", (position, &event.text))?;
            Ok(())
        })
        .build()?;
    Ok(schema)
}

/// Reads the table.
pub(crate) fn read_sqlite(session: &Session) -> Result<Notes, BoxError> {
    let read = |view: &SqliteView| {
        view.query_map("SELECT text FROM notes ORDER BY position", (), |row| row.get::<_, String>(0))
    };
    Ok(session.query(read)??)
}
