//! Typed events: a Rust type for each event name.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Args, ArgsError, EventKind, EventName, InvalidId};

/// A Rust type whose values are the args of one kind of event.
///
/// # Example
/// ```
/// use livestore_traits::{EventKind, NewEvent, TypedEvent};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct TodoAdded { id: String, text: String }
///
/// impl TypedEvent for TodoAdded {
///     const NAME: &'static str = "v1.TodoAdded";
/// }
///
/// let event = NewEvent::from(&TodoAdded { id: "1".into(), text: "buy milk".into() }).unwrap();
/// assert_eq!(event.args.as_str(), r#"{"id":"1","text":"buy milk"}"#);
/// assert_eq!(event.kind, EventKind::Synced);
/// ```
pub trait TypedEvent: Serialize + DeserializeOwned + Send + 'static {
    /// The event's name. By convention it begins with a version, as in `v1.TodoAdded`: an event that is in a log never
    /// changes its meaning, a changed one gets a new name.
    const NAME: &'static str;
    /// Whether other clients get it.
    const KIND: EventKind = EventKind::Synced;
}

/// An event that is about to be committed: it has no number yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its name.
    pub name: EventName,
    /// Its args.
    pub args: Args,
    /// Whether other clients get it.
    pub kind: EventKind,
}

impl NewEvent {
    /// The event that `value` stands for.
    ///
    /// # Errors
    /// [`ArgsError`] if the value has no JSON form that JavaScript reads as it is written.
    ///
    /// # Panics
    /// If [`TypedEvent::NAME`] is no valid event name; an [`EventSet`] finds that at start-up.
    pub fn from<E: TypedEvent>(value: &E) -> Result<Self, ArgsError> {
        let name = EventName::new(E::NAME).expect("the name of a typed event is valid");
        Ok(Self { name, args: Args::from_value(value)?, kind: E::KIND })
    }
}

/// The events that an application declares.
///
/// # Example
/// ```
/// # use livestore_traits::{EventSet, TypedEvent};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct TodoAdded {}
/// # impl TypedEvent for TodoAdded { const NAME: &'static str = "v1.TodoAdded"; }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct TodoDone {}
/// # impl TypedEvent for TodoDone { const NAME: &'static str = "v1.TodoDone"; }
/// let events = EventSet::builder().event::<TodoAdded>().event::<TodoDone>().build()?;
/// assert!(events.kind("v1.TodoAdded").is_some());
/// # Ok::<(), livestore_traits::EventSetError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSet {
    kinds: BTreeMap<EventName, EventKind>,
}

impl EventSet {
    /// Begins to declare.
    #[must_use]
    pub fn builder() -> EventSetBuilder {
        EventSetBuilder::default()
    }

    /// The kind of the event called `name`, if it is declared.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<EventKind> {
        self.kinds.get(name).copied()
    }

    /// The declared events, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&EventName, EventKind)> {
        self.kinds.iter().map(|(name, kind)| (name, *kind))
    }
}

/// Collects declarations; all errors are reported by [`EventSetBuilder::build`].
#[derive(Debug, Default)]
pub struct EventSetBuilder {
    kinds: BTreeMap<EventName, EventKind>,
    error: Option<EventSetError>,
}

impl EventSetBuilder {
    /// Declares a typed event.
    #[must_use]
    pub fn event<E: TypedEvent>(self) -> Self {
        self.named(E::NAME, E::KIND)
    }

    /// Declares an event by name, for args that have no Rust type.
    #[must_use]
    pub fn named(mut self, name: &str, kind: EventKind) -> Self {
        match EventName::new(name) {
            Ok(name) if self.kinds.contains_key(&name) => {
                self.error.get_or_insert(EventSetError::Duplicate(name));
            }
            Ok(name) => {
                self.kinds.insert(name, kind);
            }
            Err(invalid) => {
                self.error.get_or_insert(EventSetError::Name {
                    name: name.chars().take(64).collect(),
                    source: invalid,
                });
            }
        }
        self
    }

    /// The set, if every declaration is good.
    ///
    /// # Errors
    /// [`EventSetError`] for the first declaration that is not.
    pub fn build(self) -> Result<EventSet, EventSetError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(EventSet { kinds: self.kinds }),
        }
    }
}

/// Events cannot be declared like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventSetError {
    /// Two declarations have one name.
    #[error("the event {0} is declared twice")]
    Duplicate(EventName),
    /// A name cannot be one.
    #[error("{name:?} cannot name an event")]
    Name {
        /// The name, cut.
        name: String,
        /// Why.
        #[source]
        source: InvalidId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_bad_names_are_found_at_start_up() {
        let twice =
            EventSet::builder().named("a", EventKind::Synced).named("a", EventKind::ClientOnly).build();
        assert_eq!(twice, Err(EventSetError::Duplicate(EventName::new("a").unwrap())));
        assert!(matches!(
            EventSet::builder().named("", EventKind::Synced).build(),
            Err(EventSetError::Name { .. })
        ));
    }
}
