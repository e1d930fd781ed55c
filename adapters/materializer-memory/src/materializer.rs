//! Applies events to a state and takes them back.
//!
//! ```text
//! settled_state ── unsettled events ──▶ state
//!       ▲ floor                           ▲ head
//! ```

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;

use livestore_traits::{
    Applied, BoxError, Event, MaterializeBatch, MaterializeError, Materializer, OnFailure, Position,
    Quarantined, SeqNum, Snapshot, UnknownEvent,
};

use crate::schema::{MemorySchema, State};
use crate::snapshot::{self, Content};

/// The one part that a state has for [`Applied::changed`].
const WHOLE_STATE: &str = "state";

/// A state in a plain Rust value; see the crate's own page for what it costs.
pub struct MemoryMaterializer<S> {
    schema: MemorySchema<S>,
    head: SeqNum,
    /// The state can be undone to here, not further; what `settled_state` shows.
    floor: Position,
    settled_state: S,
    /// The events after the floor that had an effect.
    unsettled: Vec<Event>,
    state: S,
    quarantine: Vec<Quarantined>,
    /// Whether a materializer panicked and `state` may be half changed.
    is_torn: bool,
}

impl<S: State> MemoryMaterializer<S> {
    /// An empty state.
    #[must_use]
    pub fn new(schema: MemorySchema<S>) -> Self {
        Self {
            schema,
            head: SeqNum::ROOT,
            floor: Position::ROOT,
            settled_state: S::default(),
            unsettled: Vec::new(),
            state: S::default(),
            quarantine: Vec::new(),
            is_torn: false,
        }
    }

    /// Sets the state to the settled one with the first `kept` unsettled events and `more` on top.
    fn rebuild(&mut self, kept: usize, more: &[Event]) -> Result<(), MaterializeError> {
        let mut state = self.settled_state.clone();
        for event in self.unsettled[..kept].iter().chain(more) {
            run(&self.schema, &mut state, event).map_err(|error| not_deterministic(event, &error))?;
        }
        self.state = state;
        self.is_torn = false;
        Ok(())
    }

    /// Applies the batch to the state and says how the books change; the books themselves stay.
    fn advance(&mut self, batch: &MaterializeBatch<'_>) -> Result<Next, MaterializeError> {
        let to = batch.rollback_to.unwrap_or(self.head);
        let mut next = Next {
            head: to,
            kept: self.unsettled.partition_point(|event| event.num.position() <= to.position()),
            new: Vec::new(),
            kept_quarantine: self.quarantine.partition_point(|event| event.num.position() <= to.position()),
            applied: Applied::default(),
        };
        if next.kept < self.unsettled.len() {
            self.rebuild(next.kept, &[])?;
            next.changed();
        }
        for event in batch.events {
            self.advance_by(event, batch.on_failure, &mut next)?;
            next.head = event.num;
        }
        Ok(next)
    }

    fn advance_by(
        &mut self,
        event: &Event,
        on_failure: OnFailure,
        next: &mut Next,
    ) -> Result<(), MaterializeError> {
        let (num, name) = (event.num, event.name.clone());
        if self.schema.handler(&event.name).is_none() {
            return match on_failure {
                OnFailure::Refuse => Err(MaterializeError::Undeclared(name)),
                OnFailure::Quarantine => {
                    next.applied.unknown.push(UnknownEvent { num, name });
                    Ok(())
                }
            };
        }
        match (run(&self.schema, &mut self.state, event), on_failure) {
            (Ok(()), _) => {
                next.new.push(event.clone());
                next.changed();
            }
            (Err(source), OnFailure::Refuse) => return Err(MaterializeError::Event { num, name, source }),
            (Err(source), OnFailure::Quarantine) => {
                next.applied.quarantined.push(Quarantined { num, name, error: source.to_string() });
                self.rebuild(next.kept, &next.new)?;
            }
        }
        Ok(())
    }

    /// Writes what `advance` said into the books.
    fn commit(&mut self, next: Next) -> Applied {
        self.head = next.head;
        self.unsettled.truncate(next.kept);
        self.unsettled.extend(next.new);
        self.quarantine.truncate(next.kept_quarantine);
        self.quarantine.extend_from_slice(&next.applied.quarantined);
        next.applied
    }

    /// Moves events that can no longer roll back into the settled state.
    fn settle(&mut self, settled: Position) -> Result<(), MaterializeError> {
        self.floor = self.floor.max(settled.min(self.head.position()));
        let count = self.unsettled.partition_point(|event| event.num.position() <= self.floor);
        for event in self.unsettled.drain(..count) {
            run(&self.schema, &mut self.settled_state, &event)
                .map_err(|error| not_deterministic(&event, &error))?;
        }
        Ok(())
    }
}

/// How the books change when a batch is through.
struct Next {
    head: SeqNum,
    /// How many unsettled events stay.
    kept: usize,
    /// The events after them.
    new: Vec<Event>,
    kept_quarantine: usize,
    applied: Applied,
}

impl Next {
    fn changed(&mut self) {
        if self.applied.changed.is_empty() {
            self.applied.changed = BTreeSet::from([WHOLE_STATE.into()]);
        }
    }
}

impl<S: State> Materializer for MemoryMaterializer<S> {
    fn head(&self) -> Result<SeqNum, MaterializeError> {
        Ok(self.head)
    }

    fn apply(&mut self, batch: MaterializeBatch<'_>) -> Result<Applied, MaterializeError> {
        check(&batch, self.head, self.floor)?;
        if self.is_torn {
            self.rebuild(self.unsettled.len(), &[])?;
        }
        self.is_torn = true;
        let next = match self.advance(&batch) {
            Ok(next) => next,
            Err(error) => {
                self.rebuild(self.unsettled.len(), &[])?;
                return Err(error);
            }
        };
        let applied = self.commit(next);
        self.is_torn = false;
        self.settle(batch.settled)?;
        Ok(applied)
    }

    fn reset(&mut self) -> Result<(), MaterializeError> {
        *self = Self::new(self.schema.clone());
        Ok(())
    }

    fn quarantined(&self) -> Result<Vec<Quarantined>, MaterializeError> {
        Ok(self.quarantine.clone())
    }

    fn snapshot(&self) -> Result<Snapshot, MaterializeError> {
        snapshot::write(&Content {
            definitions: self.schema.definitions(),
            head: self.head,
            floor: self.floor,
            settled_state: &self.settled_state,
            unsettled: self.unsettled.clone(),
            quarantine: self.quarantine.clone(),
        })
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<(), MaterializeError> {
        let content: Content<S> = snapshot::read(snapshot)?;
        if content.definitions != self.schema.definitions() {
            return Err(MaterializeError::Corrupt("the snapshot was made by other definitions".into()));
        }
        let mut restored = Self {
            head: content.head,
            floor: content.floor,
            settled_state: content.settled_state,
            unsettled: content.unsettled,
            quarantine: content.quarantine,
            ..Self::new(self.schema.clone())
        };
        restored.rebuild(restored.unsettled.len(), &[])?;
        *self = restored;
        Ok(())
    }

    fn fork(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        Ok(Box::new(Self::new(self.schema.clone())))
    }

    fn view(&self) -> &dyn Any {
        &self.state
    }
}

impl<S> fmt::Debug for MemoryMaterializer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryMaterializer")
            .field("schema", &self.schema)
            .field("head", &self.head)
            .field("floor", &self.floor)
            .finish_non_exhaustive()
    }
}

/// What can be told before anything is changed.
fn check(batch: &MaterializeBatch<'_>, head: SeqNum, floor: Position) -> Result<(), MaterializeError> {
    if batch.base != head {
        return Err(MaterializeError::WrongBase { head, base: batch.base });
    }
    if let Some(to) = batch.rollback_to
        && !(floor..=head.position()).contains(&to.position())
    {
        return Err(MaterializeError::NoUndo { to });
    }
    let mut head = batch.rollback_to.unwrap_or(head);
    for event in batch.events {
        if event.num.position() <= head.position() {
            return Err(MaterializeError::WrongBase { head, base: event.num });
        }
        head = event.num;
    }
    Ok(())
}

fn run<S: State>(schema: &MemorySchema<S>, state: &mut S, event: &Event) -> Result<(), BoxError> {
    let handler = schema.handler(&event.name).expect("only events with a handler get here");
    handler(state, event)
}

/// An event that had an effect fails on the very state that it had it on.
fn not_deterministic(event: &Event, error: &BoxError) -> MaterializeError {
    let name = &event.name;
    MaterializeError::Corrupt(format!("the materializer of {name} is not deterministic: {error}").into())
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use livestore_traits::{Args, ClientId, EventKind, EventName, EventSet, SessionId};

    use super::*;

    fn event(num: &str, args: &'static str) -> Event {
        Event {
            num: num.parse().unwrap(),
            name: EventName::new("push").unwrap(),
            args: Args::parse(args).unwrap(),
            client_id: ClientId::new("c1").unwrap(),
            session_id: SessionId::new("s1").unwrap(),
            commit: None,
            unit_end: true,
            is_own: false,
        }
    }

    #[test]
    fn a_panic_leaves_no_half_change_behind() {
        let events = EventSet::builder().named("push", EventKind::Synced).build().unwrap();
        let schema = MemorySchema::<Vec<u32>>::builder(events).on_raw("push", |state, args, _cx| {
            state.push(0);
            state.push(args.to_value().expect("the args are a number"));
            Ok(())
        });
        let mut materializer = MemoryMaterializer::new(schema.build().unwrap());
        let mut apply = |base: &str, event: Event| {
            materializer.apply(MaterializeBatch {
                base: base.parse().unwrap(),
                rollback_to: None,
                events: &[event],
                settled: Position::ROOT,
                on_failure: OnFailure::Quarantine,
            })
        };
        apply("e0", event("e1", "1")).unwrap();
        catch_unwind(AssertUnwindSafe(|| apply("e1", event("e2", "null"))))
            .expect_err("the materializer panics");
        apply("e1", event("e2", "2")).unwrap();
        assert_eq!(materializer.view().downcast_ref::<Vec<u32>>(), Some(&vec![0, 1, 0, 2]));
    }
}
