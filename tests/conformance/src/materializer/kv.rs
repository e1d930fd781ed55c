//! The events of the suite: changes of a map from keys to numbers.

use std::collections::BTreeMap;

use livestore_traits::{EventSet, EventSetBuilder, NewEvent, TypedEvent};
use serde::{Deserialize, Serialize};

macro_rules! event {
    ($(#[$doc:meta])* $name:ident = $text:literal { $($field:ident: $type:ty),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the event says what its fields are")]
        pub struct $name { $(pub $field: $type),* }
        impl TypedEvent for $name {
            const NAME: &'static str = $text;
        }
    };
}

event!(
    /// Sets `key` to `value`, whether it was there or not.
    Set = "kv.Set" { key: String, value: i64 }
);
event!(
    /// Adds `by` to `key`, which counts as 0 if it is not there.
    Add = "kv.Add" { key: String, by: i64 }
);
event!(
    /// Removes `key`, if it is there.
    Del = "kv.Del" { key: String }
);
event!(
    /// Sets `to` to what is at `from`, which counts as 0 if it is not there.
    Copy = "kv.Copy" { from: String, to: String }
);
event!(
    /// Sets `key` to -1 and then fails, always, with an error that prints as [`FAILURE`].
    Fail = "kv.Fail" { key: String }
);
event!(
    /// As [`Set`], but known only to the later version of the application.
    Later = "kv.Later" { key: String, value: i64 }
);

/// What [`Fail`] fails with.
pub const FAILURE: &str = "this event always fails";

/// What the first version of the application declares.
#[must_use]
pub fn events() -> EventSet {
    first_version().build().expect("the names are valid")
}

/// What the later version declares.
#[must_use]
pub fn later_events() -> EventSet {
    first_version().event::<Later>().build().expect("the names are valid")
}

fn first_version() -> EventSetBuilder {
    let builder = EventSet::builder().event::<Set>().event::<Add>().event::<Del>().event::<Copy>();
    builder.event::<Fail>()
}

/// A change of the map, for the cases to make events of.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(&'static str, i64),
    Add(&'static str, i64),
    Del(&'static str),
    Copy(&'static str, &'static str),
    Fail(&'static str),
    Later(&'static str, i64),
}

impl Change {
    /// What the change does, written as plainly as possible. Events that fail or are unknown do nothing.
    pub(super) fn apply(&self, map: &mut BTreeMap<String, i64>) {
        match *self {
            Self::Set(key, value) => drop(map.insert(key.to_owned(), value)),
            Self::Add(key, by) => *map.entry(key.to_owned()).or_default() += by,
            Self::Del(key) => drop(map.remove(key)),
            Self::Copy(from, to) => {
                let value = map.get(from).copied().unwrap_or_default();
                map.insert(to.to_owned(), value);
            }
            Self::Fail(_) | Self::Later(..) => {}
        }
    }

    pub(super) fn to_new_event(&self) -> NewEvent {
        let event = match *self {
            Self::Set(key, value) => NewEvent::from(&Set { key: key.to_owned(), value }),
            Self::Add(key, by) => NewEvent::from(&Add { key: key.to_owned(), by }),
            Self::Del(key) => NewEvent::from(&Del { key: key.to_owned() }),
            Self::Copy(from, to) => NewEvent::from(&Copy { from: from.to_owned(), to: to.to_owned() }),
            Self::Fail(key) => NewEvent::from(&Fail { key: key.to_owned() }),
            Self::Later(key, value) => NewEvent::from(&Later { key: key.to_owned(), value }),
        };
        event.expect("the values are plain")
    }
}
