//! The last events of the leader's log, kept in memory.
//!
//! Sessions that keep up are served from here, and repeats on the pull are compared with it; everything older is read
//! from the log.

use std::collections::VecDeque;

use livestore_traits::{Event, GlobalSeq, SeqNum};

#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// The version before the first event.
    before: SeqNum,
    events: VecDeque<Event>,
    max_events: usize,
}

impl Tail {
    /// A tail that holds nothing before `head` yet.
    pub(super) const fn new(head: SeqNum, max_events: usize) -> Self {
        Self { before: head, events: VecDeque::new(), max_events }
    }

    /// The last version.
    fn head(&self) -> SeqNum {
        self.events.back().map_or(self.before, |event| event.num)
    }

    /// Follows a change of the log.
    pub(super) fn change(&mut self, rollback_to: Option<SeqNum>, append: &[Event]) {
        if let Some(to) = rollback_to {
            while self.events.back().is_some_and(|event| event.num.position() > to.position()) {
                self.events.pop_back();
            }
            if self.events.is_empty() {
                self.before = to;
            }
            debug_assert_eq!(self.head(), to, "the tail follows another log");
        }
        self.events.extend(append.iter().cloned());
        let excess = self.events.len().saturating_sub(self.max_events);
        if let Some(last) = self.events.drain(..excess).next_back() {
            self.before = last.num;
        }
    }

    /// At most `limit` events after `version`, if the tail knows exactly this version.
    pub(super) fn after(&self, version: SeqNum, limit: usize) -> Option<Vec<Event>> {
        let begin = if version == self.before {
            0
        } else {
            let index = self.events.partition_point(|event| event.num.position() < version.position());
            if self.events.get(index)?.num != version {
                return None;
            }
            index + 1
        };
        Some(self.events.iter().skip(begin).take(limit).cloned().collect())
    }

    /// The synced event `seq`, if the tail holds it.
    pub(super) fn synced(&self, seq: GlobalSeq) -> Option<&Event> {
        let place = livestore_traits::Position::synced(seq);
        let index = self.events.partition_point(|event| event.num.position() < place);
        self.events.get(index).filter(|event| event.num.position() == place)
    }
}
