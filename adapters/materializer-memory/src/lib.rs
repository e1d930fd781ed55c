//! State in a plain Rust value, derived from events by functions of the application.
//!
//! For tests, for small states, and for users without SQL. A [`MemorySchema`] declares for each event what it does to a
//! value of the application's own type `S`; a [`MemoryMaterializer`] keeps that value, and its
//! [`view`](livestore_traits::Materializer::view) is an `&S`.
//!
//! # Undo, and what it costs
//!
//! There are two copies of the state: one with all events, one with only the settled ones, and the events between them.
//! Rolling back clones the settled copy and applies the events again that stay. So memory is bounded by two states and
//! the pending events, every event is applied twice, and a rollback costs the size of the state: for large states take
//! SQLite. A failing event costs as much, because what it did is taken back in the same way.
//!
//! Nothing is kept when the materializer is dropped; the engine replays the log.
//!
//! # Example
//! ```
//! use std::collections::BTreeMap;
//!
//! use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
//! use livestore_traits::{EventSet, Materializer, TypedEvent};
//!
//! type Todos = BTreeMap<String, String>;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct TodoAdded { id: String, text: String }
//! impl TypedEvent for TodoAdded { const NAME: &'static str = "v1.TodoAdded"; }
//!
//! let events = EventSet::builder().event::<TodoAdded>().build()?;
//! let schema = MemorySchema::<Todos>::builder(events)
//!     .on::<TodoAdded>(|todos, event, _cx| {
//!         todos.insert(event.id, event.text);
//!         Ok(())
//!     })
//!     .build()?;
//! let materializer = MemoryMaterializer::new(schema);
//! let todos: &Todos = materializer.view().downcast_ref().unwrap();
//! assert!(todos.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod materializer;
mod schema;
mod snapshot;

pub use materializer::MemoryMaterializer;
pub use schema::{MemorySchema, MemorySchemaBuilder, State};
