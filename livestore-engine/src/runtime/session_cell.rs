//! A session's processor, state and receipts behind one lock.
//!
//! A commit runs on its caller's thread, so that a read right after it sees it; the leader's items are taken in by the
//! session's task. Both hold the lock while they do, and perform effects before they release it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use livestore_traits::{
    Attach, GoneReason, Held, LeaderItem, MaterializeBatch, MaterializeError, Materializer, NewEvent,
    OnFailure, SeqNum, SessionSender, Snapshot,
};
use tokio::sync::watch;

use super::clock;
use crate::processor::{
    CommitError, CommitOutcome, ReceiptUpdate, SessionEffect, SessionProcessor, SessionStatus,
};

/// Where a commit has got to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReceiptState {
    Pending,
    Persisted,
    Confirmed(SeqNum),
    Gone(GoneReason),
    /// The store was closed before it was known whether it is confirmed.
    Closed {
        /// Whether it was known to be persisted.
        persisted: bool,
    },
}

/// What the session's task has to do, because it takes waiting.
#[derive(Debug)]
pub(super) enum TaskWork {
    Attach(Attach),
    Restart,
}

/// A session without its task.
#[derive(Debug)]
pub(crate) struct SessionCell {
    processor: SessionProcessor,
    state: Box<dyn Materializer>,
    sender: Option<Box<dyn SessionSender>>,
    receipts: BTreeMap<u64, watch::Sender<ReceiptState>>,
    /// The last commit whose receipt says that it is persisted.
    persisted: u64,
    /// Parts of the state that changed since they were last asked for.
    changed: BTreeSet<Arc<str>>,
    work: Option<TaskWork>,
    status: watch::Sender<SessionStatus>,
    /// Set when the session takes no more commits.
    closed: bool,
    /// Set when nothing may change any more, whatever the task was still about to do.
    ended: bool,
}

impl SessionCell {
    pub(crate) fn new(processor: SessionProcessor, state: Box<dyn Materializer>) -> Self {
        let (status, _) = watch::channel(processor.status());
        Self {
            processor,
            state,
            sender: None,
            receipts: BTreeMap::new(),
            persisted: 0,
            changed: BTreeSet::new(),
            work: None,
            status,
            closed: false,
            ended: false,
        }
    }

    /// Commits a unit: applies it to the state, then takes it as pending.
    pub(crate) fn commit(
        &mut self,
        events: Vec<NewEvent>,
    ) -> Result<(CommitOutcome, watch::Receiver<ReceiptState>), CommitError> {
        if self.closed {
            return Err(CommitError::Closed);
        }
        let transaction = self.processor.prepare(events)?;
        let batch = MaterializeBatch {
            base: transaction.base,
            rollback_to: None,
            events: &transaction.events,
            settled: transaction.settled,
            on_failure: OnFailure::Refuse,
        };
        let applied = self.state.apply(batch).map_err(CommitError::Refused)?;
        self.changed.extend(applied.changed);
        let outcome = self.processor.complete(clock::now(), transaction);
        let (sender, receiver) = watch::channel(ReceiptState::Pending);
        self.receipts.insert(outcome.n, sender);
        self.drive();
        Ok((outcome, receiver))
    }

    pub(crate) fn state(&self) -> &dyn Materializer {
        &*self.state
    }

    /// Follows the session's status.
    pub(crate) fn status(&self) -> watch::Receiver<SessionStatus> {
        self.status.subscribe()
    }

    /// What changed since the last call.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.changed)
    }

    /// Takes no more commits; what is pending is still pushed.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Ends everything: whoever waits for a receipt is told.
    pub(crate) fn end(&mut self) {
        self.closed = true;
        self.ended = true;
        self.sender = None;
        for (_, receipt) in std::mem::take(&mut self.receipts) {
            receipt.send_modify(|state| {
                *state = ReceiptState::Closed { persisted: *state == ReceiptState::Persisted };
            });
        }
        self.status.send_modify(|status| status.ended = true);
    }

    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.processor.poll_timeout()
    }

    pub(super) fn take_work(&mut self) -> Option<TaskWork> {
        self.work.take()
    }

    pub(super) fn attached(&mut self, attached: livestore_traits::Attached, sender: Box<dyn SessionSender>) {
        self.sender = Some(sender);
        self.processor.attached(clock::now(), attached);
        self.drive();
    }

    pub(super) fn link_lost(&mut self) {
        self.sender = None;
        self.processor.link_lost(clock::now());
        self.drive();
    }

    pub(super) fn item(&mut self, item: LeaderItem) {
        self.processor.item(clock::now(), item);
        self.drive();
    }

    pub(super) fn timeout(&mut self) {
        self.processor.handle_timeout(clock::now());
        self.drive();
    }

    /// Replaces the state by a snapshot of the leader.
    pub(super) fn restart(&mut self, snapshot: Snapshot, held: Held) -> Result<(), MaterializeError> {
        let head = snapshot.head;
        self.state.restore(snapshot)?;
        self.processor.restarted(clock::now(), head, &held);
        self.drive();
        Ok(())
    }

    /// Performs effects until there is none.
    fn drive(&mut self) {
        if self.ended {
            // Ends an attachment that came too late.
            self.sender = None;
            return;
        }
        while let Some(effect) = self.processor.poll_effect() {
            match effect {
                SessionEffect::Apply { base, rollback_to, events, settled } => {
                    let on_failure = OnFailure::Quarantine;
                    self.apply(MaterializeBatch { base, rollback_to, events: &events, settled, on_failure });
                }
                SessionEffect::Send(message) => {
                    let sent = self.sender.as_ref().is_some_and(|sender| sender.send(message).is_ok());
                    if !sent {
                        self.sender = None;
                        self.processor.link_lost(clock::now());
                    }
                }
                SessionEffect::Attach(attach) => self.work = Some(TaskWork::Attach(attach)),
                SessionEffect::Restart => {
                    // Ends the attachment, so that nothing more is pushed before the snapshot is made.
                    self.sender = None;
                    self.work = Some(TaskWork::Restart);
                }
                SessionEffect::Receipt(update) => self.update_receipts(update),
            }
        }
        let status = self.processor.status();
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }

    fn apply(&mut self, batch: MaterializeBatch<'_>) {
        match self.state.apply(batch) {
            Ok(applied) => self.changed.extend(applied.changed),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a session's state failed; starting it again"
                );
                self.processor.state_failed(clock::now());
            }
        }
    }

    fn update_receipts(&mut self, update: ReceiptUpdate) {
        match update {
            ReceiptUpdate::Persisted { n } => {
                for (_, receipt) in self.receipts.range(self.persisted + 1..=n) {
                    receipt.send_replace(ReceiptState::Persisted);
                }
                self.persisted = n;
            }
            ReceiptUpdate::Confirmed { n, num } => self.resolve(n, ReceiptState::Confirmed(num)),
            ReceiptUpdate::Gone { n, reason } => self.resolve(n, ReceiptState::Gone(reason)),
        }
    }

    fn resolve(&mut self, n: u64, state: ReceiptState) {
        if let Some(receipt) = self.receipts.remove(&n) {
            receipt.send_replace(state);
        }
    }
}
