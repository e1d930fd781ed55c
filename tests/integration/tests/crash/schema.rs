//! The notebook in SQLite: its lines show which events were applied, how often, and in which order.

use livestore_integration::{Draft, Line};
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema, SqliteView};
use livestore_traits::{EventSet, EventlogReader, Materializer};

pub(crate) fn schema() -> SqliteSchema {
    let events = EventSet::builder().event::<Line>().event::<Draft>().build().expect("good events");
    SqliteSchema::builder(events)
        .version(1)
        .table("CREATE TABLE lines (place INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        .on::<Line>(|state, event, _| {
            state.execute("INSERT INTO lines (text) VALUES (?1)", (&event.text,))?;
            Ok(())
        })
        .on::<Draft>(|state, event, _| {
            state.execute("INSERT INTO lines (text) VALUES ('draft ' || ?1)", (&event.text,))?;
            Ok(())
        })
        .build()
        .expect("a good schema")
}

pub(crate) fn lines(state: &dyn Materializer) -> Vec<String> {
    lines_of(state.view().downcast_ref().expect("SQLite's view"))
}

pub(crate) fn lines_of(view: &SqliteView) -> Vec<String> {
    view.query_map("SELECT text FROM lines ORDER BY place", (), |row| row.get(0)).expect("a good query")
}

/// What a state shows that has never seen anything but this log, from its first event on.
pub(crate) fn replay(log: &dyn EventlogReader) -> Vec<String> {
    let mut state = SqliteMaterializer::in_memory(schema()).expect("room for a state");
    livestore_integration::replay(log, &mut state);
    lines(&state)
}
