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
