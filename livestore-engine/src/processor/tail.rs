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

#[cfg(test)]
mod tests {
    use livestore_traits::Args;

    use super::*;
    use crate::sample::{event, num};

    /// Events whose args have as many bytes as is written after the number.
    fn events(text: &str) -> Vec<Event> {
        let sized = |text: &str| {
            let (number, len) = text.split_once('=').unwrap();
            Event { args: Args::parse("1".repeat(len.parse().unwrap())).unwrap(), ..event(number) }
        };
        text.split_whitespace().map(sized).collect()
    }

    /// A tail of at most 4 events and 100 bytes, with these events after the root.
    fn tail(text: &str) -> Tail {
        let mut tail = Tail::new(SeqNum::ROOT, 4, 100);
        tail.change(None, &events(text));
        tail
    }

    fn after(tail: &Tail, version: &str, limit: ReadLimit) -> Option<String> {
        let numbers = tail.after(num(version), limit)?.into_iter().map(|event| event.num.to_string());
        Some(numbers.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_follows_a_version_is_read_if_the_version_is_known() {
        let tail = tail("e1=1 e1.1=1 e2=1 e3r1=1");
        for (version, expected) in [
            ("e0", Some("e1 e1.1 e2 e3r1")),
            ("e1", Some("e1.1 e2 e3r1")),
            ("e1.1", Some("e2 e3r1")),
            ("e2", Some("e3r1")),
            ("e3r1", Some("")),
            // Other versions of these positions, and positions that no event has.
            ("e3", None),
            ("e2r1", None),
            ("e2.1", None),
            ("e4", None),
        ] {
            assert_eq!(after(&tail, version, ReadLimit::events(10)).as_deref(), expected, "{version}");
        }
        assert_eq!(tail.synced(GlobalSeq(2)).map(|event| event.num), Some(num("e2")));
        assert_eq!(tail.synced(GlobalSeq(4)), None);
    }

    #[test]
    fn a_read_keeps_its_limits_and_gives_at_least_one_event() {
        let tail = tail("e1=20 e2=20 e3=20 e4=20");
        for (count, bytes, expected) in
            [(2, 100, "e1 e2"), (10, 1, "e1"), (10, 40, "e1 e2"), (10, 41, "e1 e2 e3"), (10, 60, "e1 e2 e3")]
        {
            let limit = ReadLimit { bytes, ..ReadLimit::events(count) };
            assert_eq!(after(&tail, "e0", limit).as_deref(), Some(expected), "{count} events, {bytes} bytes");
        }
    }

    #[test]
    fn the_oldest_events_go_when_there_are_too_many_or_they_are_too_large() {
        for (held, expected) in [
            ("e1=25 e2=25 e3=25 e4=25", "e1 e2 e3 e4"),
            ("e1=1 e2=1 e3=1 e4=1 e5=1", "e2 e3 e4 e5"),
            ("e1=25 e2=25 e3=25 e4=26", "e2 e3 e4"),
            ("e1=1 e2=101", ""),
        ] {
            let tail = tail(held);
            let before = tail.before.to_string();
            assert_eq!(after(&tail, &before, ReadLimit::events(10)).as_deref(), Some(expected), "{held}");
            assert_eq!(tail.bytes, tail.events.iter().map(|event| event.args.len()).sum::<usize>(), "{held}");
            let dropped = events(held).len() - tail.events.len();
            assert_eq!(before, format!("e{dropped}"), "{held}");
        }
    }

    #[test]
    fn what_is_rolled_back_makes_room() {
        let mut tail = tail("e1=30 e2=30 e3=40");
        tail.change(Some(num("e1")), &events("e2r1=70"));
        assert_eq!(after(&tail, "e0", ReadLimit::events(10)).as_deref(), Some("e1 e2r1"));
        assert_eq!(tail.bytes, 100);
        // Back to before everything that it holds.
        tail.change(None, &events("e3r1=90"));
        tail.change(Some(num("e1")), &events("e2r2=1"));
        assert_eq!(after(&tail, "e1", ReadLimit::events(10)).as_deref(), Some("e2r2"));
        assert_eq!(tail.bytes, 1);
    }
}
