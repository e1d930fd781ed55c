//! The application of the demo: a shopping list whose state shows the order of events.

use livestore_materializer_sqlite::{SqliteSchema, SqliteView, rusqlite};
use livestore_traits::{BoxError, EventSet, NewEvent, TypedEvent};
use serde::{Deserialize, Serialize};

/// Somebody wants something.
#[derive(Debug, Serialize, Deserialize)]
struct ItemAdded {
    id: String,
    text: String,
}

impl TypedEvent for ItemAdded {
    const NAME: &'static str = "v1.ItemAdded";
}

/// Somebody wants something else instead: of two such events, the later one counts.
#[derive(Debug, Serialize, Deserialize)]
struct ItemChanged {
    id: String,
    text: String,
}

impl TypedEvent for ItemChanged {
    const NAME: &'static str = "v1.ItemChanged";
}

/// A row of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Counted from 1 in the order of the events: another order of events is another list.
    pub(super) place: u32,
    pub(super) id: String,
    pub(super) text: String,
}

pub(super) fn added(id: &str, text: &str) -> Result<NewEvent, BoxError> {
    Ok(NewEvent::from(&ItemAdded { id: id.to_owned(), text: text.to_owned() })?)
}

pub(super) fn changed(id: &str, text: &str) -> Result<NewEvent, BoxError> {
    Ok(NewEvent::from(&ItemChanged { id: id.to_owned(), text: text.to_owned() })?)
}

pub(super) fn schema() -> Result<SqliteSchema, BoxError> {
    let events = EventSet::builder().event::<ItemAdded>().event::<ItemChanged>().build()?;
    let schema = SqliteSchema::builder(events)
        .table("CREATE TABLE items (place INTEGER NOT NULL, id TEXT PRIMARY KEY, text TEXT NOT NULL)")
        .on::<ItemAdded>(|state, event, _| {
            state.execute(
                "INSERT INTO items SELECT count(*) + 1, ?1, ?2 FROM items",
                (&event.id, &event.text),
            )?;
            Ok(())
        })
        .on::<ItemChanged>(|state, event, _| {
            state.execute("UPDATE items SET text = ?2 WHERE id = ?1", (&event.id, &event.text))?;
            Ok(())
        })
        .build()?;
    Ok(schema)
}

/// The list, in order.
pub(super) fn items(view: &SqliteView) -> Result<Vec<Item>, rusqlite::Error> {
    view.query_map("SELECT place, id, text FROM items ORDER BY place", (), |row| {
        Ok(Item { place: row.get(0)?, id: row.get(1)?, text: row.get(2)? })
    })
}

/// The list in one line.
pub(super) fn in_words(items: &[Item]) -> String {
    let words: Vec<String> = items.iter().map(|item| format!("{}. {}", item.place, item.text)).collect();
    words.join("   ")
}
