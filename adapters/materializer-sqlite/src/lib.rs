//! State in SQLite, derived from events by functions of the application.
//!
//! A [`SqliteSchema`] declares tables and, for each event, what it does to them. A [`SqliteMaterializer`] applies events
//! to a database file or to one in memory, can take the unsettled ones back, and shows the state to queries through a
//! [`SqliteView`].
//!
//! # Undo
//!
//! While events are applied that may still roll back, TEMP triggers note for every row that is touched what stood
//! under its key before: the old columns, or that nothing stood there. Rolling back deletes the touched rows and puts
//! back what the *first* note of each key says. It is set-based, so constraints that hold for the old and the new state
//! hold on the way too, and its cost grows with the rows touched. The notes live in one table per user table
//! (`livestore_undo_…`), so undo survives a restart and travels with a snapshot.
//!
//! What triggers do not see is refused: virtual and temporary tables and deferred foreign keys when the schema is built,
//! DDL and transaction control inside a materializer when it runs.
//!
//! # Durability
//!
//! A file is in WAL mode with `synchronous = NORMAL`: a crash of the process loses nothing, a power cut may lose the
//! last transactions but never tears one. That is enough, because the eventlog is the truth and is written first; a
//! state that lags behind is brought up to date from it. The file is locked for as long as it is open.
//!
//! # Example
//! ```
//! use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema, SqliteView};
//! use livestore_traits::{EventSet, Materializer, TypedEvent};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct TodoAdded { id: String, text: String }
//! impl TypedEvent for TodoAdded { const NAME: &'static str = "v1.TodoAdded"; }
//!
//! let events = EventSet::builder().event::<TodoAdded>().build()?;
//! let schema = SqliteSchema::builder(events)
//!     .version(1)
//!     .table("CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0)")
//!     .on::<TodoAdded>(|state, event, _cx| {
//!         state.execute("INSERT INTO todos (id, text) VALUES (?1, ?2)", (&event.id, &event.text))?;
//!         Ok(())
//!     })
//!     .build()?;
//! let materializer = SqliteMaterializer::in_memory(schema)?;
//! let view: &SqliteView = materializer.view().downcast_ref().unwrap();
//! assert_eq!(view.query_row("SELECT count(*) FROM todos", (), |row| row.get::<_, i64>(0))?, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalog;
mod database;
mod error;
mod guard;
mod ledger;
mod materializer;
mod schema;
mod snapshot;
mod state;
mod states;
mod step;
mod undo;
mod view;

pub use materializer::{SqliteMaterializer, SqliteOptions};
pub use rusqlite;
pub use schema::{SqliteSchema, SqliteSchemaBuilder};
pub use state::SqliteState;
pub use states::SqliteStates;
pub use view::SqliteView;
