//! A leader's log as plain events: what a `Change` is done to, and what the reference works on.

use std::collections::HashMap;

use livestore_engine::sync::{Change, SyncState};
use livestore_traits::{Event, GlobalSeq, Heads, RebaseGeneration, SeqNum, UpstreamMark};

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Log {
    pub(crate) events: Vec<Event>,
    pub(crate) upstream: SeqNum,
    pub(crate) generation: RebaseGeneration,
}

impl Log {
    /// How many events stand up to and including `version`.
    pub(crate) fn place(&self, version: SeqNum) -> Option<usize> {
        if version == SeqNum::ROOT {
            return Some(0);
        }
        self.events.iter().position(|event| event.num == version).map(|index| index + 1)
    }

    pub(crate) fn head(&self) -> SeqNum {
        self.events.last().map_or(SeqNum::ROOT, |event| event.num)
    }

    /// The version of the first `len` events.
    pub(crate) fn version(&self, len: usize) -> SeqNum {
        len.checked_sub(1).map_or(SeqNum::ROOT, |last| self.events[last].num)
    }

    /// How many events can no longer roll back, by the words of the rule: those up to the upstream head, then whole
    /// units before the first that holds an unconfirmed synced event.
    pub(crate) fn settled_len(&self) -> usize {
        let mut settled = self.place(self.upstream).unwrap();
        while settled < self.events.len() {
            let rest = &self.events[settled..];
            let unit = rest.iter().position(|event| event.unit_end).map_or(rest.len(), |end| end + 1);
            if rest[..unit].iter().any(|event| event.num.is_synced()) {
                break;
            }
            settled += unit;
        }
        settled
    }

    /// The last event that `version`'s history and this one share: its generation and position are both at most those.
    pub(crate) fn common(&self, version: SeqNum) -> usize {
        let is_common = |event: &Event| {
            event.num.generation <= version.generation && event.num.position() <= version.position()
        };
        self.place(version)
            .unwrap_or_else(|| self.events.iter().rposition(is_common).map_or(0, |index| index + 1))
    }

    /// The state of a leader that opens this log.
    pub(crate) fn open(&self) -> SyncState {
        let settled = self.settled_len();
        let heads = Heads {
            local: self.head(),
            settled: self.version(settled),
            upstream: UpstreamMark { head: self.upstream, ..UpstreamMark::default() },
            generation: self.generation,
            ..Heads::default()
        };
        SyncState::leader(&heads, self.events[settled..].iter().cloned())
    }

    /// Does what a merge told, and checks that it leads to exactly the log that the state describes.
    pub(crate) fn apply(&mut self, change: &Change, state: &SyncState) {
        if let Some(to) = change.rollback_to {
            let keep = self.place(to).expect("a rollback goes to a version of the log");
            assert!(keep >= self.settled_len(), "settled events are rolled back: to {to}");
            self.events.truncate(keep);
        }
        self.take(change, state);
    }

    /// As [`Self::apply`], of a new history.
    pub(crate) fn reset(&mut self, change: &Change, state: &SyncState) {
        let keep = self.place(change.rollback_to.unwrap()).expect("the base is a version of the log");
        self.events.truncate(keep);
        self.take(change, state);
    }

    fn take(&mut self, change: &Change, state: &SyncState) {
        self.events.extend(change.append.iter().cloned());
        self.upstream = state.upstream_head;
        self.generation = state.generation;
        self.check(state);
    }

    fn check(&self, state: &SyncState) {
        check_chain(&self.events);
        let settled = self.settled_len();
        assert_eq!(state.settled_head, self.version(settled), "the settled head");
        assert_eq!(state.local_head, self.head(), "the local head");
        assert!(self.events[settled..].iter().eq(&state.pending), "pending is not what the log says");
        assert!(self.head().generation <= self.generation, "a stamp above the generation");
        assert_eq!(*state, self.open(), "a leader that opens the log would be in another state");
    }
}

/// Positions follow each other, with holes before synced events at most, and generations never fall.
pub(crate) fn check_chain(events: &[Event]) {
    let mut head = SeqNum::ROOT;
    for event in events {
        let follows = if event.num.is_synced() {
            event.num.global > head.global
        } else {
            event.num.position() == head.next_client_only(head.generation).position()
        };
        assert!(follows, "{} does not follow {head}", event.num);
        assert!(event.num.generation >= head.generation, "the generation falls from {head} to {}", event.num);
        head = event.num;
    }
}

/// Remembers what every version of a log names: it names that for ever.
#[derive(Debug, Default)]
pub(crate) struct Versions(HashMap<SeqNum, Event>);

impl Versions {
    pub(crate) fn note(&mut self, change: &Change) {
        for event in &change.append {
            let named = self.0.entry(event.num).or_insert_with(|| event.clone());
            assert_eq!(named, event, "{} names two events", event.num);
        }
    }
}

/// The number of an event of the backend, which knows no stamps.
pub(crate) fn at(global: GlobalSeq) -> SeqNum {
    SeqNum { global, ..SeqNum::ROOT }
}
