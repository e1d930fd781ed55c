//! What always holds of a [`SyncState`], checked on the way into and out of every merge.
//!
//! A violation here is a bug of ours, so it is an assertion; what peers break is a [`MergeError`](super::MergeError)
//! before anything is changed. The checks that cost the length of pending run in debug builds only.

use livestore_traits::{Position, RebaseGeneration};

use super::outcome::{MergeError, Outcome};
use super::payload::Payload;
use super::renumber::next;
use super::state::{Level, SyncState};

impl SyncState {
    /// Panics if the state is not valid.
    pub(super) fn assert_valid(&self) {
        let (upstream, settled, local) =
            (self.upstream_head.position(), self.settled_head.position(), self.local_head.position());
        match self.level {
            Level::Leader => assert!(upstream <= settled && settled <= local, "heads out of order: {self:?}"),
            Level::Session => {
                assert!(settled <= upstream && upstream <= local, "heads out of order: {self:?}")
            }
        }
        let last = self.pending.back().map_or(self.base(), |event| event.num);
        assert_eq!(self.local_head, last, "the local head is not the last pending event");
        if self.level == Level::Session {
            assert_eq!(self.known.back(), Some(&self.upstream_head), "the upstream head is not known");
        }
        debug_assert!(
            self.known.iter().is_sorted_by_key(|known| known.position()),
            "known versions out of order"
        );
        debug_assert!(self.is_chain(), "pending is not a chain: {self:?}");
        debug_assert!(self.is_front_right(), "pending does not begin with an unconfirmed unit: {self:?}");
    }

    fn is_chain(&self) -> bool {
        let mut head = self.base();
        self.pending.iter().all(|event| {
            let follows = event.num == next(head, event.kind(), event.num.generation);
            let rises = event.num.generation >= head.generation || self.level == Level::Session;
            head = event.num;
            follows && rises && head.generation <= self.generation
        })
    }

    fn is_front_right(&self) -> bool {
        let front = self.scan_front();
        front.settled == 0 && front.first_confirmable == self.first_confirmable
    }
}

/// What a merge may not take back, as it was before.
pub(super) struct Marks {
    level: Level,
    upstream: Position,
    settled: Position,
    local: Position,
    generation: RebaseGeneration,
    may_shorten: bool,
    is_reset: bool,
}

impl Marks {
    pub(super) fn of(state: &SyncState, payload: &Payload) -> Self {
        let is_reset = matches!(payload, Payload::Reset { .. });
        Self {
            level: state.level,
            upstream: state.upstream_head.position(),
            settled: state.settled_head.position(),
            local: state.local_head.position(),
            generation: state.generation,
            may_shorten: is_reset || matches!(payload, Payload::Amend(_)),
            is_reset,
        }
    }

    /// Panics if the merge took back what stands, or went back to a generation that named other versions.
    pub(super) fn assert_kept(&self, state: &SyncState, outcome: &Result<Outcome, MergeError>) {
        let (upstream, settled, local) =
            (state.upstream_head.position(), state.settled_head.position(), state.local_head.position());
        let is_rebase = matches!(outcome, Ok(Outcome::Rebase(_)));
        assert!(state.generation > self.generation || !is_rebase, "a rollback in an old generation");
        assert!(state.generation >= self.generation, "the generation fell");
        assert!(self.is_reset || settled >= self.settled, "the settled head fell");
        if self.level == Level::Leader {
            assert!(self.is_reset || upstream >= self.upstream, "the upstream head fell");
            assert!(self.may_shorten || local >= self.local, "the local head fell");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use livestore_traits::{ClientId, SeqNum};

    use super::*;
    use crate::sample::{event, num};
    use crate::sync::outcome::Change;

    /// At `e1r1`, with `e2r1 e2.1r2` pending, in generation 3.
    fn state(level: Level) -> SyncState {
        let base = num("e1r1");
        SyncState {
            level,
            pending: [event("e2r1"), event("e2.1r2")].into(),
            first_confirmable: 0,
            upstream_head: base,
            settled_head: base,
            local_head: num("e2.1r2"),
            generation: RebaseGeneration(3),
            known: if level == Level::Session { [num("e0"), base].into() } else { [].into() },
        }
    }

    fn panic_of(run: impl FnOnce()) -> Option<String> {
        let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
        Some(
            panic
                .downcast::<String>()
                .map_or_else(|panic| (*panic.downcast::<&str>().unwrap()).to_owned(), |text| *text),
        )
    }

    /// A state that `change` has spoilt is noticed, with these words.
    #[track_caller]
    fn is_noticed(level: Level, why: &str, change: impl FnOnce(&mut SyncState)) {
        let mut state = state(level);
        assert_eq!(panic_of(|| state.assert_valid()), None);
        change(&mut state);
        let said = panic_of(|| state.assert_valid()).expect("nothing was noticed");
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn heads_out_of_order_are_noticed() {
        for level in [Level::Leader, Level::Session] {
            is_noticed(level, "heads out of order", |state| state.local_head = num("e0"));
            is_noticed(level, "the last pending", |state| state.local_head = num("e2.1r1"));
        }
        is_noticed(Level::Leader, "heads out of order", |state| state.upstream_head = num("e2r1"));
        is_noticed(Level::Session, "heads out of order", |state| state.settled_head = num("e2r1"));
    }

    #[test]
    fn pending_that_is_no_chain_is_noticed() {
        for level in [Level::Leader, Level::Session] {
            is_noticed(level, "is not a chain", |state| state.pending[0].num = num("e3r1"));
            is_noticed(level, "is not a chain", |state| state.generation = RebaseGeneration(1));
        }
        is_noticed(Level::Leader, "is not a chain", |state| state.pending[0].num = num("e2"));
        // A session's pending keeps the numbers that its own generations gave it.
        let mut session = state(Level::Session);
        session.pending[0].num = num("e2");
        session.assert_valid();
    }

    #[test]
    fn a_front_that_is_settled_or_not_where_it_is_thought_to_be_is_noticed() {
        is_noticed(Level::Leader, "does not begin with", |state| state.first_confirmable = 1);
        is_noticed(Level::Leader, "does not begin with", |state| {
            state.pending = [event("e1.1r1"), event("e2r1"), event("e2.1r2")].into();
        });
    }

    #[test]
    fn known_versions_that_do_not_lead_to_the_upstream_head_are_noticed() {
        is_noticed(Level::Session, "is not known", |state| state.known = [num("e0")].into());
        is_noticed(Level::Session, "known versions out of order", |state| state.known.push_front(num("e3")));
    }

    #[test]
    fn a_merge_that_takes_back_what_stands_is_noticed() {
        let append = Payload::LocalPush { base: SeqNum::ROOT, expected_n: 1, events: Vec::new() };
        let amend = Payload::Amend(crate::sync::Amendment::ReplaceClientId(ClientId::new("d").unwrap()));
        let reset = Payload::Reset { base: SeqNum::ROOT, keep: Vec::new() };
        let advance = || Ok(Outcome::Advance(Change::default()));
        let rebase = || Ok(Outcome::Rebase(Change::default()));
        let newer = |state: &mut SyncState| state.generation = RebaseGeneration(4);
        let check = |level, payload: &Payload, outcome, change: &dyn Fn(&mut SyncState)| {
            let mut state = state(level);
            let marks = Marks::of(&state, payload);
            change(&mut state);
            panic_of(|| marks.assert_kept(&state, &outcome))
        };
        for level in [Level::Leader, Level::Session] {
            assert_eq!(check(level, &append, advance(), &|_| {}), None);
            assert_eq!(check(level, &append, rebase(), &newer), None);
            let said = check(level, &append, rebase(), &|_| {}).unwrap();
            assert!(said.contains("a rollback in an old generation"), "{said}");
            let said = check(level, &append, advance(), &|state| state.generation = RebaseGeneration(2));
            assert!(said.unwrap().contains("the generation fell"));
            for payload in [&append, &amend] {
                let said = check(level, payload, advance(), &|state| state.settled_head = num("e0"));
                assert!(said.unwrap().contains("the settled head fell"));
            }
            let back = |state: &mut SyncState| {
                newer(state);
                (state.settled_head, state.upstream_head, state.local_head) =
                    (num("e0"), num("e0"), num("e0"));
            };
            assert_eq!(check(level, &reset, rebase(), &back), None);
        }
        let shorter = |state: &mut SyncState| state.local_head = num("e2r1");
        assert!(check(Level::Leader, &append, advance(), &shorter).unwrap().contains("the local head fell"));
        assert_eq!(check(Level::Leader, &amend, advance(), &shorter), None);
        assert_eq!(check(Level::Session, &append, advance(), &shorter), None);
        let behind = |state: &mut SyncState| state.upstream_head = num("e0");
        assert!(check(Level::Leader, &amend, advance(), &behind).unwrap().contains("the upstream head fell"));
        assert_eq!(check(Level::Session, &append, advance(), &behind), None);
    }
}
