//! How the rest of a store reaches its leader: the messages, and the handle that sends them.

use std::sync::Arc;

use futures::future::Shared;
use livestore_traits::{
    Attach, Attached, EventlogError, EventlogReader, LeaderItem, LostLeadership, SessionId, SessionSnapshot,
};
use tokio::sync::{mpsc as async_mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::core::LeaderFailure;
use super::inbox::Inbox;
use super::upstream::PagePermit;
use crate::processor::{Input, LeaderStatus, LinkId};

/// What the leader is told.
#[derive(Debug)]
pub(crate) enum LeaderMessage {
    Input(Input),
    /// A page; the pull may go on once it was taken in.
    Page(Input, PagePermit),
    Attach {
        attach: Attach,
        items: async_mpsc::UnboundedSender<LeaderItem>,
        reply: oneshot::Sender<(LinkId, Attached)>,
    },
    Snapshot {
        session_id: SessionId,
        reply: oneshot::Sender<Result<SessionSnapshot, LeaderFailure>>,
    },
    Reader(oneshot::Sender<Result<Box<dyn EventlogReader>, EventlogError>>),
    /// Syncs now instead of waiting; answered with the status that shows it.
    SyncNow(oneshot::Sender<LeaderStatus>),
    Lost(LostLeadership),
    /// Stop. Answered when log and state are closed, with the tasks that hold the backend and the leadership.
    Shutdown(ShutDown),
    /// Stop: nobody is left to be told anything.
    Abandoned,
}

/// Answers a shutdown.
pub(super) type ShutDown = oneshot::Sender<Vec<JoinSet<()>>>;

/// How the rest of a store reaches its leader.
#[derive(Clone, Debug)]
pub(crate) struct LeaderHandle {
    pub(super) leader: LoopHandle,
    pub(super) status: watch::Receiver<LeaderStatus>,
}

/// A handle of a leader that may not lead yet: what is sent to it is taken once it does.
#[derive(Clone, Debug)]
pub(super) struct LoopHandle {
    pub(super) inbox: Inbox,
    /// Resolves when the leader has ended, to why if that was a failure.
    pub(super) ended: Shared<oneshot::Receiver<Arc<LeaderFailure>>>,
}

/// Ends the leader when it is dropped, whoever has a handle: sessions of other stores may keep theirs for a while, and
/// the leader's own tasks send to it too, so a closed channel cannot tell it.
#[derive(Debug)]
pub(super) struct Tenure(pub(super) Inbox);

impl Drop for Tenure {
    fn drop(&mut self) {
        // A leader that is gone needs no telling.
        let _ = self.0.send(LeaderMessage::Abandoned);
    }
}

impl LeaderHandle {
    /// Sends a message; an error means that the leader is gone.
    pub(crate) fn send(&self, message: LeaderMessage) -> Result<(), LeaderGone> {
        self.leader.send(message)
    }

    /// Asks for something that the leader answers once.
    pub(crate) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> LeaderMessage,
    ) -> Result<T, LeaderGone> {
        self.leader.ask(message).await
    }

    pub(crate) fn status(&self) -> watch::Receiver<LeaderStatus> {
        self.status.clone()
    }

    /// Waits until the leader has stopped and returns why, if that was a failure.
    pub(crate) async fn stopped(&self) -> Option<Arc<LeaderFailure>> {
        self.leader.stopped().await
    }
}

impl LoopHandle {
    fn send(&self, message: LeaderMessage) -> Result<(), LeaderGone> {
        self.inbox.send(message)
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> LeaderMessage,
    ) -> Result<T, LeaderGone> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(message(reply));
        if let (Ok(()), Ok(answer)) = (sent, answer.await) {
            return Ok(answer);
        }
        // Whoever hears that it is gone asks why next, so that must be known by then.
        let _ = self.stopped().await;
        Err(LeaderGone)
    }

    /// Closes log and state and gives leadership up; returns when that is done. Nothing is to do for a leader that failed.
    pub(super) async fn shut_down(&self) {
        let Ok(tasks) = self.ask(LeaderMessage::Shutdown).await else { return };
        for mut tasks in tasks {
            tasks.shutdown().await;
        }
    }

    async fn stopped(&self) -> Option<Arc<LeaderFailure>> {
        // An error means that it ended without one.
        self.ended.clone().await.ok()
    }
}

/// The leader has ended.
#[derive(Debug, thiserror::Error)]
#[error("the leader is gone")]
pub(crate) struct LeaderGone;
