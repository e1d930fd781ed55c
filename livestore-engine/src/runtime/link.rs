//! The link between a session and a leader in one process: channels.

use async_trait::async_trait;
use futures::StreamExt;
use livestore_traits::{
    Attach, Attachment, BoxStream, LeaderLink, LeaderReport, LeaderStatus, LinkError, SessionId,
    SessionMessage, SessionSender, SessionSnapshot,
};
use tokio::sync::{mpsc, watch};

use super::leader_handle::{LeaderGone, LeaderHandle, LeaderMessage};
use crate::processor::{Input, LinkId};

/// Reaches the leader's thread.
#[derive(Clone, Debug)]
pub(crate) struct LocalLink {
    leader: LeaderHandle,
}

impl LocalLink {
    pub(crate) const fn new(leader: LeaderHandle) -> Self {
        Self { leader }
    }
}

fn gone(_: LeaderGone) -> LinkError {
    LinkError::Gone
}

#[async_trait]
impl LeaderLink for LocalLink {
    async fn attach(&self, attach: Attach) -> Result<Attachment, LinkError> {
        // Not bounded here: the leader sends only a few items ahead of those that were taken.
        let (items, mut receiver) = mpsc::unbounded_channel();
        let (link, attached) =
            self.leader.ask(|reply| LeaderMessage::Attach { attach, items, reply }).await.map_err(gone)?;
        let items = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx)).boxed();
        Ok(Attachment {
            attached,
            items,
            sender: Box::new(LocalSender { leader: self.leader.clone(), link }),
        })
    }

    async fn snapshot(&self, session_id: &SessionId) -> Result<SessionSnapshot, LinkError> {
        let session_id = session_id.clone();
        let snapshot = self.leader.ask(|reply| LeaderMessage::Snapshot { session_id, reply }).await;
        snapshot.map_err(gone)?.map_err(|error| LinkError::Link(error.into()))
    }

    async fn sync_now(&self) -> Result<LeaderStatus, LinkError> {
        self.leader.ask(LeaderMessage::SyncNow).await.map_err(gone)
    }

    async fn reports(&self) -> Result<BoxStream<'static, LeaderReport>, LinkError> {
        let mut status = self.leader.status();
        status.mark_changed();
        let next = |mut status: watch::Receiver<LeaderStatus>| async move {
            status.changed().await.ok()?;
            let report = LeaderReport::Status(Box::new(status.borrow_and_update().clone()));
            Some((report, status))
        };
        // The status goes on with the next leader's.
        let leader = self.leader.clone();
        let gone = Box::pin(async move { leader.stopped().await });
        Ok(futures::stream::unfold(status, next).take_until(gone).boxed())
    }
}

/// One attachment's way to the leader.
#[derive(Debug)]
struct LocalSender {
    leader: LeaderHandle,
    link: LinkId,
}

impl SessionSender for LocalSender {
    fn send(&self, message: SessionMessage) -> Result<(), LinkError> {
        let message = LeaderMessage::Input(Input::Session(self.link, message));
        self.leader.send(message).map_err(|_| LinkError::Gone)
    }
}

impl Drop for LocalSender {
    fn drop(&mut self) {
        // A leader that is gone has no attachments.
        let _ = self.leader.send(LeaderMessage::Input(Input::Detach(self.link)));
    }
}
