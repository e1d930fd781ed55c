//! What becomes of a session's own commits: persisted, then confirmed, or gone.

use std::collections::BTreeMap;

use livestore_traits::{Event, GoneReason, Held, SeqNum, SessionId};

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptUpdate {
    /// This commit and all before it are durable in the leader's log.
    Persisted {
        /// The commit.
        n: u64,
    },
    /// This commit can no longer roll back.
    Confirmed {
        /// The commit.
        n: u64,
        /// The number of its last event; the last event settled with it, if the session restarted meanwhile.
        num: SeqNum,
    },
    /// This commit is not in the log any more.
    Gone {
        /// The commit.
        n: u64,
        /// Why.
        reason: GoneReason,
    },
}

/// Follows the session's commits until they are settled or gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Receipts {
    /// The last commit that is known to be, or to have been, in the leader's log.
    persisted: u64,
    /// The last commit that was reported as persisted. Never falls.
    told: u64,
    /// Commits that are not settled, each with the number of its last event in the leader's log while that is known.
    unsettled: BTreeMap<u64, Option<SeqNum>>,
}

impl Receipts {
    /// Commits that are not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// The last commit that is known to be, or to have been, in the leader's log.
    pub(super) const fn persisted(&self) -> u64 {
        self.persisted
    }

    pub(super) fn committed(&mut self, n: u64) {
        self.unsettled.insert(n, None);
    }

    /// The leader's log has, or had, all commits through `n`.
    #[must_use]
    pub(super) fn persist(&mut self, n: u64) -> Option<ReceiptUpdate> {
        self.persisted = self.persisted.max(n);
        let is_news = n > self.told;
        self.told = self.told.max(n);
        is_news.then_some(ReceiptUpdate::Persisted { n })
    }

    /// The leader's log holds the session's commits only through `n`, though it was told of more, up to before
    /// `first_pending`: those were in a log that is gone.
    #[must_use]
    pub(super) fn lose(&mut self, n: u64, first_pending: u64) -> Vec<ReceiptUpdate> {
        if n >= self.persisted {
            return Vec::new();
        }
        self.persisted = n;
        let lost: Vec<u64> = self.unsettled.range(n + 1..first_pending.max(n + 1)).map(|(n, _)| *n).collect();
        lost.into_iter().filter_map(|n| self.gone(n, GoneReason::Lost)).collect()
    }

    /// The commit is not in the leader's log any more.
    #[must_use]
    pub(super) fn gone(&mut self, n: u64, reason: GoneReason) -> Option<ReceiptUpdate> {
        self.unsettled.remove(&n).map(|_| ReceiptUpdate::Gone { n, reason })
    }

    /// These commits are in the state that the session has now.
    ///
    /// Where each is must be known, not only that it is there: what is not told again after a rollback may have been
    /// before it, or may be told later, and only the former can settle.
    pub(super) fn contained(&mut self, held: &Held) {
        for (_, placed) in self.unsettled.range_mut(..=held.persisted) {
            *placed = Some(held.settled);
        }
        for (n, num) in &held.unsettled {
            if let Some(placed) = self.unsettled.get_mut(n) {
                *placed = Some(*num);
            }
        }
    }

    /// The leader's log rolled back to `rollback_to`, if that is given; then `events` followed.
    #[must_use]
    pub(super) fn follow(
        &mut self,
        session_id: &SessionId,
        rollback_to: Option<SeqNum>,
        events: &[Event],
    ) -> Option<ReceiptUpdate> {
        if let Some(to) = rollback_to {
            for placed in self.unsettled.values_mut() {
                *placed = placed.filter(|num| num.position() <= to.position());
            }
        }
        let mut last = None;
        for event in events.iter().filter(|event| event.unit_end && event.session_id == *session_id) {
            if let Some((_, commit)) = event.identity()
                && let Some(placed) = self.unsettled.get_mut(&commit.n)
            {
                *placed = Some(event.num);
                last = Some(commit.n);
            }
        }
        last.and_then(|n| self.persist(n))
    }

    /// The commits that are settled now; they settle in order.
    #[must_use]
    pub(super) fn settle(&mut self, settled: SeqNum) -> Vec<ReceiptUpdate> {
        let mut updates = Vec::new();
        while let Some(entry) = self.unsettled.first_entry() {
            let Some(num) = entry.get().filter(|num| num.position() <= settled.position()) else { break };
            let (n, _) = entry.remove_entry();
            updates.push(ReceiptUpdate::Confirmed { n, num });
        }
        updates
    }
}
