//! What the tests across crates share: a small notebook application whose state shows the order of events, and a proxy
//! that terminates TLS.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod tls;

pub use tls::TlsProxy;

use livestore_engine::{Session, Store, StoreBuilder};
use livestore_eventlog_memory::MemoryStorage;
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
use livestore_traits::{EventKind, EventSet, NewEvent, StoreId, TypedEvent};
use serde::{Deserialize, Serialize};

/// A line that everybody gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What it says.
    pub text: String,
}

impl TypedEvent for Line {
    const NAME: &'static str = "v1.Line";
}

/// A line that only the sessions of its client get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What it says.
    pub text: String,
}

impl TypedEvent for Draft {
    const NAME: &'static str = "v1.Draft";
    const KIND: EventKind = EventKind::ClientOnly;
}

/// All lines in order, drafts among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notebook {
    /// The lines of all clients.
    pub lines: Vec<String>,
    /// The drafts of this client, each with how many lines there were when it was written.
    pub drafts: Vec<(usize, String)>,
}

/// The notebook's events and what they do.
///
/// # Panics
/// Never: the schema is good.
#[must_use]
pub fn schema() -> MemorySchema<Notebook> {
    let events = EventSet::builder().event::<Line>().event::<Draft>().build().expect("good events");
    MemorySchema::builder(events)
        .on::<Line>(|state: &mut Notebook, event, _| {
            if event.text == "unacceptable" {
                return Err("the line is unacceptable".into());
            }
            state.lines.push(event.text);
            Ok(())
        })
        .on::<Draft>(|state: &mut Notebook, event, _| {
            state.drafts.push((state.lines.len(), event.text));
            Ok(())
        })
        .build()
        .expect("a good schema")
}

/// A store of the notebook on a log in memory that can be opened again.
///
/// # Panics
/// Never: the store id is good.
pub fn notebook(storage: &MemoryStorage) -> StoreBuilder {
    let store_id = StoreId::new("notebook").expect("a good store id");
    Store::builder(store_id).eventlog(storage.open()).materializer(MemoryMaterializer::new(schema()))
}

/// The event of a line.
///
/// # Panics
/// Never: every text is good JSON.
#[must_use]
pub fn line(text: impl Into<String>) -> NewEvent {
    NewEvent::from(&Line { text: text.into() }).expect("good args")
}

/// The event of a draft.
///
/// # Panics
/// Never: every text is good JSON.
#[must_use]
pub fn draft(text: impl Into<String>) -> NewEvent {
    NewEvent::from(&Draft { text: text.into() }).expect("good args")
}

/// What a session shows.
///
/// # Panics
/// If the session is not of a notebook.
#[must_use]
pub fn read(session: &Session) -> Notebook {
    session.query(|notebook: &Notebook| notebook.clone()).expect("a notebook")
}

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
