//! What the tests across crates share: a small notebook application whose state shows the order of events, wrappers
//! that call back between durable steps, and a proxy that terminates TLS.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod tls;
pub mod wrap;

pub use tls::TlsProxy;

use std::time::Duration;

use livestore_engine::{Session, Store, StoreBuilder, StoreConfig};
use livestore_eventlog_memory::MemoryStorage;
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
use livestore_traits::{
    EventKind, EventSet, EventlogReader, MaterializeBatch, Materializer, NewEvent, OnFailure, Position,
    ReadLimit, SeqNum, StoreId, TypedEvent,
};
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

/// Times short enough that a test sees many tries, and answers that nobody waits for any more.
#[must_use]
pub fn impatient() -> StoreConfig {
    let mut config = StoreConfig::default();
    config.leader.backoff_min = Duration::from_millis(1);
    config.leader.backoff_max = Duration::from_millis(10);
    config.leader.ahead_timeout = Duration::from_millis(20);
    config.leader.push_timeout = Duration::from_millis(200);
    config.leader.silence_timeout = Duration::from_millis(200);
    config.session.backoff_min = Duration::from_millis(1);
    config.session.backoff_max = Duration::from_millis(10);
    config
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

/// Brings an empty state to where a log leads from its first event on: what any other state of that log has to show.
///
/// # Panics
/// If the log cannot be read, or the state has seen something already.
pub fn replay(log: &dyn EventlogReader, state: &mut dyn Materializer) {
    let events = log.read(Position::ROOT, ReadLimit::events(100_000)).expect("a readable log");
    let batch = MaterializeBatch {
        base: SeqNum::ROOT,
        rollback_to: None,
        events: &events,
        settled: Position::ROOT,
        on_failure: OnFailure::Quarantine,
    };
    state.apply(batch).expect("events of the log");
}

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
