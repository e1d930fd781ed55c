//! The state that merging works on.

use std::collections::VecDeque;

use livestore_traits::{Event, Heads, RebaseGeneration, SeqNum};

/// On which side of a session's link a merge happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The leader, whose upstream is the backend: only synced events come from there, and they are compared by content.
    Leader,
    /// A session, whose upstream is the leader: every event comes from there, and they are compared by identity.
    Session,
}

/// What a leader or a session knows of its log.
///
/// ```text
/// leader:   upstream_head <= settled_head <= local_head     pending: everything after the settled head
/// session:  settled_head <= upstream_head <= local_head     pending: everything after the upstream head
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncState {
    /// The side of the link.
    pub level: Level,
    /// Events that may still be rolled back and renumbered by what upstream sends, in order. At the leader the first
    /// unit of them holds a synced event.
    pub pending: VecDeque<Event>,
    /// Where in `pending` the first event stands that upstream can confirm. Derived; kept so that it is not searched for
    /// again with every event from upstream.
    pub(super) first_confirmable: usize,
    /// The last event known to stand upstream.
    pub upstream_head: SeqNum,
    /// The last event that can no longer roll back.
    pub settled_head: SeqNum,
    /// The last event.
    pub local_head: SeqNum,
    /// What the next appended event is stamped with; raised by every merge that rolls something back.
    pub generation: RebaseGeneration,
    /// Session only: the versions of the leader's log from the last settled one (or from where the session started, if
    /// that is later) up to the upstream head. By them repeats are recognised and rollbacks checked.
    pub known: VecDeque<SeqNum>,
}

impl SyncState {
    /// The state of a leader whose log has these heads and, after the settled one, these events.
    #[must_use]
    pub fn leader(heads: &Heads, pending: impl IntoIterator<Item = Event>) -> Self {
        let mut state = Self {
            level: Level::Leader,
            pending: pending.into_iter().collect(),
            first_confirmable: 0,
            upstream_head: heads.upstream.head,
            settled_head: heads.settled,
            local_head: heads.local,
            generation: heads.generation,
            known: VecDeque::new(),
        };
        state.settle_front();
        state
    }

    /// The state of a session that starts from the leader's version `head`.
    #[must_use]
    pub fn session(head: SeqNum) -> Self {
        Self {
            level: Level::Session,
            pending: VecDeque::new(),
            first_confirmable: 0,
            upstream_head: head,
            settled_head: SeqNum::ROOT,
            local_head: head,
            generation: head.generation,
            known: VecDeque::from([head]),
        }
    }

    /// The last event that is not pending: on what pending builds.
    #[must_use]
    pub fn base(&self) -> SeqNum {
        match self.level {
            Level::Leader => self.settled_head,
            Level::Session => self.upstream_head,
        }
    }

    /// Moves the base forward to `head`: pending begins after it.
    pub(super) fn set_base(&mut self, head: SeqNum) {
        match self.level {
            Level::Leader => self.settled_head = head,
            Level::Session => self.upstream_head = head,
        }
    }

    /// At the leader: how far the front of pending cannot move any more, because it is whole units without a synced
    /// event, so that nothing upstream sends can come before them.
    pub(super) fn scan_front(&self) -> Front {
        let mut settled = 0;
        if self.level == Level::Leader {
            for (index, event) in self.pending.iter().enumerate() {
                if event.num.is_synced() {
                    return Front { settled, first_confirmable: index - settled };
                }
                if event.unit_end {
                    settled = index + 1;
                }
            }
        }
        Front { settled, first_confirmable: 0 }
    }

    /// Takes what is settled off the front of pending; its numbers stand.
    pub(super) fn settle_front(&mut self) {
        let front = self.scan_front();
        if let Some(last) = self.pending.drain(..front.settled).next_back() {
            self.settled_head = last.num;
        }
        self.first_confirmable = front.first_confirmable;
    }

    /// Sets the local head from what it is derived from.
    pub(super) fn derive_local_head(&mut self) {
        self.local_head = self.pending.back().map_or(self.base(), |event| event.num);
    }
}

/// The front of a leader's pending events.
pub(super) struct Front {
    /// How many events, whole units, are settled.
    pub(super) settled: usize,
    /// Where, after those, the first event stands that upstream can confirm.
    pub(super) first_confirmable: usize,
}
