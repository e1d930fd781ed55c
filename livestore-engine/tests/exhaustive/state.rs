//! A state that is the list of events applied to it, with undo data down to the settled head.

use livestore_traits::{Event, Position, SeqNum};

#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) events: Vec<Event>,
    head: SeqNum,
    /// What is settled cannot be undone.
    floor: Position,
}

/// What a rollback lacks.
#[derive(Debug)]
pub(crate) struct NoUndo;

impl State {
    pub(crate) fn head(&self) -> SeqNum {
        self.head
    }

    pub(crate) fn apply(
        &mut self,
        base: SeqNum,
        rollback_to: Option<SeqNum>,
        events: &[Event],
        settled: Position,
    ) -> Result<(), NoUndo> {
        assert_eq!(base, self.head, "a batch that builds on another version");
        if let Some(to) = rollback_to {
            if to.position() < self.floor {
                return Err(NoUndo);
            }
            self.events.retain(|event| event.num.position() <= to.position());
            self.head = to;
        }
        for event in events {
            let at = self.head;
            let follows = event.num.global.0 > at.global.0
                || event.num.global == at.global && event.num.client == at.client + 1;
            assert!(follows, "{} is applied after {at}", event.num);
            self.head = event.num;
            self.events.push(event.clone());
        }
        self.floor = self.floor.max(settled.min(self.head.position()));
        Ok(())
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
