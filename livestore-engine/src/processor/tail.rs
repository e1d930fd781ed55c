//! The last events of the leader's log, kept in memory.
//!
//! Sessions that keep up are served from here, and repeats on the pull are compared with it; everything older is read
//! from the log.

use std::collections::VecDeque;

use livestore_traits::{Event, GlobalSeq, ReadLimit, SeqNum};

#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// The version before the first event.
    before: SeqNum,
    events: VecDeque<Event>,
    /// The bytes of their args.
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
}

impl Tail {
    /// A tail that holds nothing before `head` yet.
    pub(super) const fn new(head: SeqNum, max_events: usize, max_bytes: usize) -> Self {
        Self { before: head, events: VecDeque::new(), bytes: 0, max_events, max_bytes }
    }

    /// The last version.
    fn head(&self) -> SeqNum {
        self.events.back().map_or(self.before, |event| event.num)
    }

    /// Follows a change of the log.
    pub(super) fn change(&mut self, rollback_to: Option<SeqNum>, append: &[Event]) {
        if let Some(to) = rollback_to {
            while self.events.back().is_some_and(|event| event.num.position() > to.position()) {
                self.bytes -= self.events.pop_back().map_or(0, |event| event.args.len());
            }
            if self.events.is_empty() {
                self.before = to;
            }
            debug_assert_eq!(self.head(), to, "the tail follows another log");
        }
        self.bytes += append.iter().map(|event| event.args.len()).sum::<usize>();
        self.events.extend(append.iter().cloned());
        while self.events.len() > self.max_events || self.bytes > self.max_bytes {
            let Some(first) = self.events.pop_front() else { break };
            self.bytes -= first.args.len();
            self.before = first.num;
        }
    }

    /// The events after `version` within `limit`, if the tail knows exactly this version.
    pub(super) fn after(&self, version: SeqNum, limit: ReadLimit) -> Option<Vec<Event>> {
        let begin = if version == self.before {
            0
        } else {
            let index = self.events.partition_point(|event| event.num.position() < version.position());
            if self.events.get(index)?.num != version {
                return None;
            }
            index + 1
        };
        let mut bytes = 0;
        let has_room = |event: &&Event| {
            let has_room = bytes < limit.bytes;
            bytes += event.args.len();
            has_room
        };
        Some(self.events.iter().skip(begin).take(limit.events.get()).take_while(has_room).cloned().collect())
    }

    /// The synced event `seq`, if the tail holds it.
    pub(super) fn synced(&self, seq: GlobalSeq) -> Option<&Event> {
        let place = livestore_traits::Position::synced(seq);
        let index = self.events.partition_point(|event| event.num.position() < place);
        self.events.get(index).filter(|event| event.num.position() == place)
    }
}
