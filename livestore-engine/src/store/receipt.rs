//! What became of a commit.

use livestore_traits::{GoneReason, SeqNum};
use tokio::sync::watch;

use crate::runtime::ReceiptState;

/// Follows one commit: first into the leader's log, then into the backend's order.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Which commit of its session it is, counted from 1.
    pub n: u64,
    /// The number of its last event when it was committed; a rebase may change it.
    pub num: SeqNum,
    state: watch::Receiver<ReceiptState>,
}

/// Why a commit will not be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotConfirmed {
    /// The backend refused it for good, and it was rolled back everywhere.
    #[error("the commit was rejected: {0}")]
    Rejected(String),
    /// The backend was replaced or rolled back and no longer has it; it is in the archive of the eventlog.
    #[error("the backend lost the commit; it is archived")]
    Archived,
    /// The eventlog that had persisted it was lost or replaced by an older copy.
    #[error("the eventlog that held the commit is gone")]
    Lost,
    /// The store was closed before it was known. What was persisted is pushed when the store is opened again.
    #[error("the store was closed before the commit was confirmed")]
    Closed,
}

impl Receipt {
    pub(super) const fn new(n: u64, num: SeqNum, state: watch::Receiver<ReceiptState>) -> Self {
        Self { n, num, state }
    }

    /// Waits until the commit is durable in the leader's log.
    ///
    /// # Errors
    /// [`NotConfirmed`] if it was closed or taken out again before that was known.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn persisted(&self) -> Result<(), NotConfirmed> {
        match self.wait(|state| *state != ReceiptState::Pending).await {
            ReceiptState::Gone(reason) => Err(gone(reason)),
            ReceiptState::Closed { persisted: false } => Err(NotConfirmed::Closed),
            ReceiptState::Pending
            | ReceiptState::Persisted
            | ReceiptState::Confirmed(_)
            | ReceiptState::Closed { persisted: true } => Ok(()),
        }
    }

    /// Waits until the commit can no longer roll back: the backend has ordered it. A commit of client-only events is
    /// settled when every synced event before it is. Returns the final number of its last event.
    ///
    /// # Errors
    /// [`NotConfirmed`] if it never will be, or the store is closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn confirmed(&self) -> Result<SeqNum, NotConfirmed> {
        let is_final =
            |state: &ReceiptState| !matches!(state, ReceiptState::Pending | ReceiptState::Persisted);
        match self.wait(is_final).await {
            ReceiptState::Confirmed(num) => Ok(num),
            ReceiptState::Gone(reason) => Err(gone(reason)),
            ReceiptState::Pending | ReceiptState::Persisted | ReceiptState::Closed { .. } => {
                Err(NotConfirmed::Closed)
            }
        }
    }

    async fn wait(&self, until: impl FnMut(&ReceiptState) -> bool) -> ReceiptState {
        let mut state = self.state.clone();
        match state.wait_for(until).await {
            Ok(state) => state.clone(),
            // The session is gone with its last handle.
            Err(_) => ReceiptState::Closed { persisted: false },
        }
    }
}

fn gone(reason: GoneReason) -> NotConfirmed {
    match reason {
        GoneReason::Rejected(why) => NotConfirmed::Rejected(why),
        GoneReason::Lost => NotConfirmed::Lost,
        _ => NotConfirmed::Archived,
    }
}
