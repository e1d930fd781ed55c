//! A session that merges, beside what it must be.

use std::collections::VecDeque;

use livestore_engine::sync::{Amendment, Change, Outcome, Payload, Refusal, SyncState, merge};
use livestore_traits::{Event, GlobalSeq, SeqNum, SessionId};

use super::reference::Reference;
use crate::leader::unstamped;

/// One item of the leader's stream.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) payload: Option<Payload>,
    pub(super) gone: Vec<u64>,
}

/// A session, and its way to the leader.
pub(super) struct Session {
    pub(super) name: char,
    pub(super) state: SyncState,
    pub(super) reference: Reference,
    /// The log that the changes lead to, and how far nothing of it can roll back.
    pub(super) mirror: Vec<Event>,
    pub(super) settled: SeqNum,
    /// The way to the leader: a push, and whether it is still waited for.
    pub(super) outbox: Option<(SeqNum, Vec<Event>)>,
    pub(super) is_waiting: bool,
    /// The way back, and the version that the session is at when it has taken all of it.
    pub(super) items: VecDeque<Item>,
    pub(super) cursor: SeqNum,
    pub(super) told: Option<(SeqNum, usize)>,
}

impl Session {
    pub(super) fn new(name: char) -> Self {
        Self {
            name,
            state: SyncState::session(SeqNum::ROOT),
            reference: Reference::default(),
            mirror: Vec::new(),
            settled: SeqNum::ROOT,
            outbox: None,
            is_waiting: false,
            items: VecDeque::new(),
            cursor: SeqNum::ROOT,
            told: None,
        }
    }

    pub(super) fn id(&self) -> SessionId {
        SessionId::new(self.name.to_string()).unwrap()
    }

    /// Asks for the stream from its own version; what is under way is void.
    pub(super) fn refresh(&mut self) {
        self.items.clear();
        self.is_waiting = false;
        self.cursor = self.state.upstream_head;
        self.told = None;
    }

    pub(super) fn deliver(&mut self, item: Item) {
        let commits = item.gone;
        let drop = Amendment::Drop { session_id: self.id(), commits: commits.clone() };
        let outcome = merge(&mut self.state, Payload::Amend(drop)).unwrap();
        self.reference.pending.retain(|event| !commits.contains(&event.commit.unwrap().n));
        self.follow(&outcome);
        let Some(payload) = item.payload else {
            self.refresh();
            return;
        };
        let one_by_one = self.one_by_one(&payload);
        self.is_waiting &= !matches!(payload, Payload::Accepted { .. });
        let fits = self.reference.take(&payload);
        let outcome = merge(&mut self.state, payload).unwrap();
        assert_eq!(fits, !matches!(outcome, Outcome::Reject(_)), "{outcome:?}, unlike the reference");
        self.follow(&outcome);
        if fits {
            assert!(one_by_one.is_none_or(|state| state == unstamped(&self.state)), "one by one differs");
        } else {
            assert_eq!(outcome, Outcome::Reject(Refusal::Stale { at: self.state.upstream_head }));
            self.refresh();
        }
    }

    /// What an advance leads to if each of its events is merged by itself.
    fn one_by_one(&self, payload: &Payload) -> Option<SyncState> {
        let Payload::UpstreamAdvance { after, events, settled: Some(settled), .. } = payload else {
            return None;
        };
        let mut state = self.state.clone();
        let mut after = *after;
        for event in events {
            let settled = if event.num.position() < settled.position() { event.num } else { *settled };
            merge(&mut state, advance(after, vec![event.clone()], settled)).ok()?;
            after = event.num;
        }
        merge(&mut state, advance(after, Vec::new(), *settled)).ok()?;
        Some(unstamped(&state))
    }

    /// Does what a merge told and compares all there is with the reference.
    pub(super) fn follow(&mut self, outcome: &Outcome) {
        if let Outcome::Advance(change) | Outcome::Rebase(change) = outcome {
            self.apply(change);
        }
        let all = self.reference.all();
        let places = |events: &[Event]| -> Vec<_> {
            let place =
                |event: &Event| (event.num.position(), event.identity().map(|id| id.1), event.args.clone());
            events.iter().map(place).collect()
        };
        assert_eq!(places(&self.mirror), places(&all.events), "the changes lead to another log");
        let (seen, pending) = all.events.split_at(self.reference.seen.events.len());
        let state = &self.state;
        assert_eq!(state.upstream_head, self.reference.seen.head(), "the upstream head");
        assert_eq!(state.settled_head, self.reference.settled, "the settled head");
        assert_eq!(state.local_head.position(), all.head().position(), "the local head");
        assert_eq!(places(pending), places(&state.pending.iter().cloned().collect::<Vec<_>>()), "pending");
        let known = seen.iter().map(|event| event.num).chain([SeqNum::ROOT]);
        let known: Vec<SeqNum> = known.filter(|num| state.known.contains(num)).collect();
        assert_eq!(known.len(), state.known.len(), "a version is taken for known that was never seen");
        self.settled = state.settled_head;
    }

    fn apply(&mut self, change: &Change) {
        if let Some(to) = change.rollback_to {
            assert!(to.position() >= self.settled.position(), "settled events are rolled back");
            let is_there = |event: &Event| event.num.position() == to.position();
            assert!(
                to == SeqNum::ROOT || self.mirror.iter().any(is_there),
                "no version {to} to roll back to"
            );
            self.mirror.retain(|event| event.num.position() <= to.position());
        }
        self.mirror.extend(change.append.iter().cloned());
    }
}

pub(super) fn advance(after: SeqNum, events: Vec<Event>, settled: SeqNum) -> Payload {
    Payload::UpstreamAdvance { after, events, settled: Some(settled), pushed_through: GlobalSeq::ROOT }
}
