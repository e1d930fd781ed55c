//! What an application declares: what each event does to the state.

use std::any::type_name;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use livestore_traits::{
    Args, BoxError, Event, EventContext, EventName, EventSet, MaterializeError, Materializer,
    MaterializerSource, TypedEvent,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::MemoryMaterializer;

/// A type that can be a state: it begins as its default, and postcard reads back what it wrote of it (so no untagged or
/// flattened fields).
pub trait State: Clone + Default + Serialize + DeserializeOwned + Send + 'static {}

impl<S: Clone + Default + Serialize + DeserializeOwned + Send + 'static> State for S {}

/// What an event does to the state. Its args are checked against the event's type before.
type Handler<S> = Box<dyn Fn(&mut S, &Event) -> Result<(), BoxError> + Send + Sync>;

/// Materializers over states of type `S`, checked and ready for use. Cheap to clone.
pub struct MemorySchema<S>(Arc<Inner<S>>);

struct Inner<S> {
    version: u32,
    handlers: HashMap<EventName, Handler<S>>,
}

impl<S: State> MemorySchema<S> {
    /// Begins to declare materializers for `events`.
    #[must_use]
    pub fn builder(events: EventSet) -> MemorySchemaBuilder<S> {
        MemorySchemaBuilder { events, version: 0, handlers: HashMap::new(), error: None }
    }

    /// All that decides what a state looks like, apart from the functions themselves.
    pub(crate) fn definitions(&self) -> String {
        let mut names: Vec<&str> = self.0.handlers.keys().map(EventName::as_str).collect();
        names.sort_unstable();
        format!("{} version {}\n{}", type_name::<S>(), self.0.version, names.join("\n"))
    }

    pub(crate) fn handler(&self, name: &EventName) -> Option<&Handler<S>> {
        self.0.handlers.get(name)
    }
}

/// A schema makes states that are not kept.
impl<S: State> MaterializerSource for MemorySchema<S> {
    fn open(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        self.scratch()
    }

    fn scratch(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        Ok(Box::new(MemoryMaterializer::new(self.clone())))
    }
}

impl<S> Clone for MemorySchema<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for MemorySchema<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySchema")
            .field("version", &self.0.version)
            .field("events", &self.0.handlers.keys())
            .finish_non_exhaustive()
    }
}

/// Collects declarations; all errors are reported by [`MemorySchemaBuilder::build`].
pub struct MemorySchemaBuilder<S> {
    events: EventSet,
    version: u32,
    handlers: HashMap<EventName, Handler<S>>,
    error: Option<String>,
}

impl<S: State> MemorySchemaBuilder<S> {
    /// The version of the materializers: raise it when one of them changes what it does, so that snapshots of former
    /// versions are refused.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// What events of type `E` do to the state.
    ///
    /// It must depend on nothing but the state, the event and the context, or replicas would differ. An error, also from
    /// args that do not fit `E`, takes back all that the event did.
    #[must_use]
    pub fn on<E: TypedEvent>(
        self,
        materializer: impl Fn(&mut S, E, &EventContext<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.handle(E::NAME, move |state, event| {
            materializer(state, event.args.to_value()?, &EventContext::new(event))
        })
    }

    /// What events called `name` do to the state, for args that have no Rust type.
    #[must_use]
    pub fn on_raw(
        self,
        name: &str,
        materializer: impl Fn(&mut S, &Args, &EventContext<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.handle(name, move |state, event| materializer(state, &event.args, &EventContext::new(event)))
    }

    fn handle(
        mut self,
        name: &str,
        handler: impl Fn(&mut S, &Event) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        let declared = self.events.iter().find(|(declared, _)| declared.as_str() == name);
        let Some((name, _)) = declared else {
            self.error.get_or_insert(format!("a materializer is given for {name}, which is not declared"));
            return self;
        };
        if self.handlers.insert(name.clone(), Box::new(handler)).is_some() {
            self.error.get_or_insert(format!("{name} has two materializers"));
        }
        self
    }

    /// The schema, if every declaration is good.
    ///
    /// # Errors
    /// [`MaterializeError::Definition`] with the first declaration that is not: an event without a materializer, with two
    /// of them, or that is not declared.
    pub fn build(self) -> Result<MemorySchema<S>, MaterializeError> {
        let missing = self.events.iter().find(|(name, _)| !self.handlers.contains_key(*name));
        let error = self.error.or_else(|| missing.map(|(name, _)| format!("{name} has no materializer")));
        match error {
            Some(error) => Err(MaterializeError::Definition(error)),
            None => Ok(MemorySchema(Arc::new(Inner { version: self.version, handlers: self.handlers }))),
        }
    }
}

impl<S> fmt::Debug for MemorySchemaBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySchemaBuilder")
            .field("version", &self.version)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::EventKind;

    use super::*;

    #[test]
    fn wrong_declarations_are_found_at_start_up() {
        let builder = || {
            let events =
                EventSet::builder().named("a", EventKind::Synced).named("b", EventKind::Synced).build();
            MemorySchema::<u32>::builder(events.unwrap()).on_raw("a", |_, _, _| Ok(()))
        };
        let nothing = |_: &mut u32, _: &Args, _: &EventContext<'_>| Ok(());
        for (builder, reason) in [
            (builder(), "b has no materializer"),
            (builder().on_raw("b", nothing).on_raw("a", nothing), "a has two materializers"),
            (builder().on_raw("c", nothing), "a materializer is given for c, which is not declared"),
        ] {
            match builder.build() {
                Err(MaterializeError::Definition(told)) => assert_eq!(told, reason),
                other => panic!("instead of {reason:?}: {other:?}"),
            }
        }
        assert!(builder().on_raw("b", nothing).build().is_ok());
    }
}
