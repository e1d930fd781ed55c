//! The sync backend of one log.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use livestore_traits::{
    BackendId, BoxError, Capabilities, ConnectionStatus, GlobalSeq, PageInfo, Pull, PullError, PullPage,
    Push, PushAck, PushError, SyncBackend, UnixMillis,
};
use tokio::sync::oneshot;

use crate::committer::{Command, Verdict};
use crate::log::Log;
use crate::page::Stretch;
use crate::stores::Core;
use crate::{Failure, Head, LogStorage, PageBuilder, Tag, admission, pull};

/// The backend of one store. Clones are handles of the same log.
///
/// Where [`LogStorage::READS_BLOCK`] is set, what is not in memory is read on tokio's blocking threads, so that pulls and
/// pushes need a tokio runtime around them.
#[derive(Debug)]
pub struct StoreBackend<S> {
    core: Arc<Core<S>>,
    pub(crate) log: Arc<Log>,
}

impl<S> Clone for StoreBackend<S> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), log: self.log.clone() }
    }
}

impl<S: LogStorage> StoreBackend<S> {
    pub(crate) const fn new(core: Arc<Core<S>>, log: Arc<Log>) -> Self {
        Self { core, log }
    }

    /// The incarnation of the log.
    #[must_use]
    pub fn backend_id(&self) -> &BackendId {
        &self.log.backend_id
    }

    /// The last event of the log.
    ///
    /// # Errors
    /// If the storage failed.
    pub fn head(&self) -> Result<GlobalSeq, Failure> {
        self.log.head().map(|head| head.seq)
    }

    async fn decide(&self, push: Push) -> Result<Verdict, PushError> {
        let (answer, verdict) = oneshot::channel();
        self.core
            .writer
            .submit(Command::Push { log: self.log.clone(), push, answer })
            .await
            .map_err(push_failed::<S>)?;
        verdict.await.map_err(|_| push_failed::<S>(Failure::stopped()))?.map_err(push_failed::<S>)
    }

    /// A push that does not follow the head stands in the log already, or its client has to catch up.
    ///
    /// This runs outside the critical section: the log only grows, so what stands in it does not change.
    async fn stale(&self, push: &Push) -> Result<PushAck, PushError> {
        let head = self.log.head().map_err(push_failed::<S>)?;
        if let Some((end, created_at)) = self.standing(push, head).await.map_err(push_failed::<S>)? {
            if !self.owns(push).await.map_err(push_failed::<S>)? {
                return Err(PushError::ClientIdTaken);
            }
            return Ok(PushAck::new(self.log.backend_id.clone(), end.cursor(), created_at));
        }
        if push.parent >= head.seq {
            return Err(PushError::UpstreamAhead { head: head.seq, missing: None });
        }
        let stretch = self.read(push.parent).await.map_err(push_failed::<S>)?;
        let missing = Some(Box::new(self.page(stretch).map_err(push_failed::<S>)?));
        // Read again: the log may have grown, and a page must not go beyond the head that comes with it.
        let head = self.log.head().map_err(push_failed::<S>)?;
        Err(PushError::UpstreamAhead { head: head.seq, missing })
    }

    /// Where the batch ends in the log and when it was accepted, if every event of it stands there.
    async fn standing(&self, push: &Push, head: Head) -> Result<Option<(Head, UnixMillis)>, Failure> {
        let mut rest = push.events.as_slice();
        if rest.last().is_none_or(|last| last.seq > head.seq) {
            return Ok(None);
        }
        let mut after = push.parent;
        let mut created_at = None;
        while !rest.is_empty() {
            let stretch = self.read(after).await?;
            let same =
                rest.iter().zip(stretch.events.iter()).take_while(|(ours, theirs)| ours.is_same(theirs));
            let count = same.count();
            if count < rest.len().min(stretch.events.len()) {
                return Ok(None);
            }
            after = stretch.events[count - 1].seq;
            created_at = stretch.events[count - 1].created_at;
            rest = &rest[count..];
        }
        let tag = self.tag(after).await?;
        Ok(created_at.map(|created_at| (Head { seq: after, tag }, created_at)))
    }

    /// Whether the push may speak for the client id it claims.
    async fn owns(&self, push: &Push) -> Result<bool, Failure> {
        let Some(client_id) = admission::claimed(push).cloned() else { return Ok(true) };
        let no = self.log.no;
        let owner = self.on_storage(move |storage| storage.owner(no, &client_id)).await?;
        Ok(owner.is_none() || owner == push.proof)
    }

    /// The events after `after`, as many as fit into a page; there is at least one before the head.
    pub(crate) async fn read(&self, after: GlobalSeq) -> Result<Stretch, Failure> {
        let limits = self.core.config.limits;
        let head = self.log.head()?;
        if let Some(stretch) = self.log.tail().read(after, &limits) {
            return Ok(stretch);
        }
        let no = self.log.no;
        self.on_storage(move |storage| {
            let mut page = PageBuilder::new(after, limits);
            storage.read(no, after, head.seq, &mut page)?;
            let stretch = page.into_stretch();
            if stretch.events.is_empty() && after < head.seq {
                return Err(format!("the events from {after} to {} are missing", head.seq).into());
            }
            Ok(stretch)
        })
        .await
    }

    /// The tag of the event at `seq`, if there is one.
    pub(crate) async fn tag(&self, seq: GlobalSeq) -> Result<Option<Tag>, Failure> {
        let head = self.log.head()?;
        if seq >= head.seq || seq == GlobalSeq::ROOT {
            return Ok(head.tag.filter(|_| seq == head.seq));
        }
        if let Some(tag) = self.log.tail().tag(seq) {
            return Ok(Some(tag));
        }
        let no = self.log.no;
        self.on_storage(move |storage| storage.tag(no, seq)).await
    }

    pub(crate) fn page(&self, stretch: Stretch) -> Result<PullPage, Failure> {
        let head = self.log.head()?;
        let info = match head.seq.0.saturating_sub(stretch.end.seq.0) {
            0 => PageInfo::CaughtUp,
            remaining => PageInfo::More { remaining: Some(remaining) },
        };
        let token = stretch.end.token();
        Ok(PullPage::new(stretch.after, stretch.events, token, self.log.backend_id.clone(), info))
    }

    /// Reads the storage where waiting for it holds up no other task.
    async fn on_storage<T: Send + 'static>(
        &self,
        read: impl FnOnce(&S) -> Result<T, BoxError> + Send + 'static,
    ) -> Result<T, Failure> {
        if !S::READS_BLOCK || self.core.writer.is_inline() {
            return read(&self.core.storage).map_err(Failure::read);
        }
        let storage = self.core.storage.clone();
        let done = tokio::task::spawn_blocking(move || read(&storage)).await;
        done.unwrap_or_else(|stopped| Err(stopped.into())).map_err(Failure::read)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LogStorage> SyncBackend for StoreBackend<S> {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(S::DURABILITY);
        capabilities.limits = self.core.config.limits;
        capabilities
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        admission::check(&push, &self.log.backend_id, &self.core.config.limits)?;
        // A push behind the visible head is stale whatever happens: it need not queue to learn that.
        if push.parent < self.log.head().map_err(push_failed::<S>)?.seq {
            return self.stale(&push).await;
        }
        match self.decide(push).await? {
            Verdict::Accepted(ack) => Ok(ack),
            Verdict::Stale(push) => self.stale(&push).await,
            Verdict::Taken => Err(PushError::ClientIdTaken),
        }
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        pull::stream(self.clone(), pull)
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        stream::once(async { ConnectionStatus::Connected }).chain(stream::pending()).boxed()
    }
}

fn push_failed<S: LogStorage>(failure: Failure) -> PushError {
    PushError::Backend { backend: S::NAME, source: Box::new(failure) }
}
