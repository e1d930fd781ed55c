//! Own events that a reset archived: another client of the new history may bring them back.
//!
//! LiveStore's wire does not carry which commit an event is of. Without that, an event that comes back at the number of a
//! pending one could pass for it: the same content would confirm the pending event, and other args would replace its own,
//! where the pending event has to move up instead. So what was archived is known while it may still come back.

use std::collections::BTreeMap;

use livestore_traits::{Event, GlobalSeq, SyncedEvent};

use super::gather::is_same;

/// The most events remembered; beyond that the oldest are forgotten.
const MOST: usize = 100_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Returning(BTreeMap<GlobalSeq, Event>);

impl FromIterator<Event> for Returning {
    fn from_iter<T: IntoIterator<Item = Event>>(events: T) -> Self {
        let mut returning = Self::default();
        events.into_iter().for_each(|event| returning.note(event));
        returning
    }
}

impl Returning {
    /// An own event is archived.
    pub(super) fn note(&mut self, event: Event) {
        self.0.insert(event.num.global, event);
        if self.0.len() > MOST {
            self.0.pop_first();
        }
    }

    /// The event with the commit it is of, if it is one that was archived and comes without.
    pub(super) fn identified(&self, mut event: SyncedEvent) -> SyncedEvent {
        let archived = self.0.get(&event.seq).filter(|archived| is_same(archived, &event));
        event.commit = event.commit.or_else(|| archived.and_then(|archived| archived.commit));
        event
    }
}
