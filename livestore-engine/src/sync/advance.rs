//! What upstream's events do to pending.
//!
//! Defined as a fold over single events: one that equals the first pending event that upstream can confirm, at its
//! current position, confirms it and carries the client-only events before it along; any other rolls all of pending
//! back and renumbers it on top. This does the same in one pass: nothing is renumbered until the end, because the first
//! pending event's position is always the one after the upstream head.
//!
//! ```text
//! before   … e4 │ e5' e6' e7'            upstream sends e5 = e5', e6 ≠ e6', e7 = e6'
//! after    … e4 e5 e6 e7 │ e8'           rolled back to e5; appended e6 e7 e8'
//! ```

use livestore_traits::{Event, EventKind, GlobalSeq, SeqNum};

use super::outcome::{Change, MergeError};
use super::renumber::{check_range, next, renumber};
use super::state::{Level, SyncState};

/// A merge of upstream's events under way.
pub(super) struct Advance<'a> {
    state: &'a mut SyncState,
    change: Change,
    /// Leader: up to here, pending was pushed under the numbers it has.
    pushed_through: GlobalSeq,
}

/// How an event from upstream relates to the first pending event that upstream can confirm.
enum Relation {
    Equal,
    /// The same event, but upstream has other args.
    SameWithOtherArgs,
    /// Another event.
    Foreign,
}

impl<'a> Advance<'a> {
    pub(super) fn new(state: &'a mut SyncState, pushed_through: GlobalSeq) -> Self {
        Self { state, change: Change::default(), pushed_through }
    }

    /// Begins with the log rolled back to `rollback_to`.
    pub(super) fn rolled_back(state: &'a mut SyncState, rollback_to: SeqNum) -> Self {
        let mut this = Self::new(state, GlobalSeq::ROOT);
        this.roll_back(rollback_to);
        this.state.set_base(rollback_to);
        this
    }

    pub(super) fn take(&mut self, event: Event) {
        match self.relation(&event) {
            Relation::Equal => self.confirm(event),
            Relation::SameWithOtherArgs => self.adopt(event),
            Relation::Foreign => self.append(event),
        }
    }

    /// Numbers what is still pending and tells what changed.
    pub(super) fn finish(self) -> Change {
        let Self { state, mut change, .. } = self;
        if change.rollback_to.is_some() {
            renumber(state.base(), state.generation, &mut state.pending);
            change.append.extend(state.pending.iter().cloned());
        }
        state.derive_local_head();
        change
    }

    fn relation(&self, event: &Event) -> Relation {
        match (self.state.pending.get(self.state.first_confirmable), self.state.level) {
            (None, _) => Relation::Foreign,
            (Some(ours), Level::Leader) => self.relation_by_content(ours, event),
            (Some(ours), Level::Session) => self.relation_by_identity(ours, event),
        }
    }

    /// Leader: an event of the backend is ours if it stands where ours would and says the same; where the wire carries
    /// the commit, it must be the same too. What only differs in its args is ours if ours was pushed under that number: an
    /// eventlog that was restored from an older copy counts commits again that others have seen, and those are not ours.
    fn relation_by_content(&self, ours: &Event, event: &Event) -> Relation {
        // However pending is numbered, its first synced event would follow the upstream head.
        let follows = event.num.global == self.state.upstream_head.global.next();
        let commits = ours.commit.zip(event.commit);
        let is_same = event.name == ours.name
            && event.client_id == ours.client_id
            && event.session_id == ours.session_id
            && commits.is_none_or(|(ours, theirs)| ours == theirs);
        if !follows || !is_same {
            Relation::Foreign
        } else if event.args.js_eq(&ours.args) {
            Relation::Equal
        } else if event.num.global <= self.pushed_through {
            Relation::SameWithOtherArgs
        } else {
            Relation::Foreign
        }
    }

    /// Session: an event of the leader's log is ours if it has the identity of ours, and nothing else counts.
    fn relation_by_identity(&self, ours: &Event, event: &Event) -> Relation {
        if event.identity().is_none() || event.identity() != ours.identity() {
            return Relation::Foreign;
        }
        // An honest leader numbers as we do. If it did not, its event has to replace ours, as with other args.
        let stands = self.change.rollback_to.is_some() || event.num.position() == ours.num.position();
        if stands && event.args == ours.args { Relation::Equal } else { Relation::SameWithOtherArgs }
    }

    /// The first pending events, up to the one that upstream sent, are pending no longer.
    fn confirm(&mut self, event: Event) {
        match self.state.level {
            Level::Leader => {
                self.take_off(self.state.first_confirmable + 1);
                self.state.upstream_head = self.state.settled_head;
                // Client-only units that now stand first can no longer move.
                let front = self.state.scan_front();
                self.take_off(front.settled);
                self.state.first_confirmable = front.first_confirmable;
            }
            Level::Session => {
                self.state.pending.pop_front();
                self.change.confirmed += 1;
                if self.change.rollback_to.is_some() {
                    self.change.append.push(event.clone());
                }
                self.arrive(event.num);
            }
        }
    }

    /// Leader: the first `count` events are pending no longer. They keep their stamps unless they were rolled back.
    fn take_off(&mut self, count: usize) {
        for mut event in self.state.pending.drain(..count) {
            if self.change.rollback_to.is_some() {
                event.num = next(self.state.settled_head, event.kind(), self.state.generation);
                self.state.settled_head = event.num;
                self.change.append.push(event);
            } else {
                self.state.settled_head = event.num;
            }
        }
        self.change.confirmed += count;
    }

    /// Upstream has this event of ours with other args: those are what everybody else has.
    fn adopt(&mut self, event: Event) {
        if self.change.rollback_to.is_none() {
            self.roll_back(self.state.base());
        }
        let first = self.state.first_confirmable;
        self.state.pending[first].args = event.args.clone();
        self.confirm(event);
        self.change.adopted.push(self.state.upstream_head);
    }

    /// Another event stands where the first pending one would: pending moves up.
    fn append(&mut self, mut event: Event) {
        if self.change.rollback_to.is_none() && !self.state.pending.is_empty() {
            self.roll_back(self.state.base());
        }
        // Nothing was pushed under the numbers that pending gets now.
        self.pushed_through = GlobalSeq::ROOT;
        match self.state.level {
            Level::Leader => {
                event.num.generation = self.state.generation;
                self.state.upstream_head = event.num;
                self.state.settled_head = event.num;
            }
            Level::Session => self.arrive(event.num),
        }
        self.change.append.push(event);
    }

    /// Session: an event of the leader's log was taken in, under the leader's number, stamp included.
    fn arrive(&mut self, num: SeqNum) {
        self.state.upstream_head = num;
        self.state.known.push_back(num);
        self.state.generation = self.state.generation.max(num.generation);
    }

    fn roll_back(&mut self, to: SeqNum) {
        self.change.rollback_to = Some(to);
        self.state.generation = self.state.generation.next();
    }
}

/// Checks that upstream's events ascend after `head` as the level requires, and returns the last one's number.
///
/// Old history may have holes, so a synced event may follow at a distance.
pub(super) fn check_chain(level: Level, mut head: SeqNum, events: &[Event]) -> Result<SeqNum, MergeError> {
    check_range(head)?;
    for event in events {
        check_range(event.num)?;
        let follows = match (event.kind(), level) {
            (EventKind::Synced, _) => event.num.global > head.global,
            (EventKind::ClientOnly, Level::Leader) => false,
            (EventKind::ClientOnly, Level::Session) => {
                event.num.global == head.global && event.num.client == head.client + 1
            }
        };
        let falls = level == Level::Session && event.num.generation < head.generation;
        if !follows || falls {
            return Err(MergeError::BrokenChain { after: head, found: event.num });
        }
        head = event.num;
    }
    Ok(head)
}
