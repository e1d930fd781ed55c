//! What can happen to a to-do list.
//!
//! Events stay in the logs of all clients for ever. So one that was released never changes its meaning: what turns out
//! to be missing becomes a new event, or a new version beside the old one (`v2.TodoAdded`).

use livestore_traits::{EventSet, EventSetError, TypedEvent};
use serde::{Deserialize, Serialize};

/// Characters of ids: lower case, so that ids are easy to type, and none that looks like another.
const ID_ALPHABET: [char; 32] = [
    '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'm', 'n',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
];

/// Enough that two clients who choose at random never choose the same.
const ID_LEN: usize = 12;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TodoAdded {
    pub(crate) id: String,
    pub(crate) text: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TodoTextEdited {
    pub(crate) id: String,
    pub(crate) text: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TodoDone {
    pub(crate) id: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TodoRemoved {
    pub(crate) id: String,
}

impl TypedEvent for TodoAdded {
    const NAME: &'static str = "v1.TodoAdded";
}

impl TypedEvent for TodoTextEdited {
    const NAME: &'static str = "v1.TodoTextEdited";
}

impl TypedEvent for TodoDone {
    const NAME: &'static str = "v1.TodoDone";
}

impl TypedEvent for TodoRemoved {
    const NAME: &'static str = "v1.TodoRemoved";
}

/// All of them.
pub(crate) fn events() -> Result<EventSet, EventSetError> {
    EventSet::builder()
        .event::<TodoAdded>()
        .event::<TodoTextEdited>()
        .event::<TodoDone>()
        .event::<TodoRemoved>()
        .build()
}

/// The id of a new item. It is chosen here and travels in the event: a materializer that chose one would choose another
/// on every client.
pub(crate) fn new_id() -> String {
    nanoid::nanoid!(ID_LEN, &ID_ALPHABET)
}
