//! What always holds of a [`SyncState`], checked on the way into and out of every merge.
//!
//! A violation here is a bug of ours, so it is an assertion; what peers break is a [`MergeError`](super::MergeError)
//! before anything is changed. The checks that cost the length of pending run in debug builds only.

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
