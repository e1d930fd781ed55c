//! A client over any [`SyncBackend`], as applications use it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use livestore_traits::{
    BackendId, BoxStream, Cursor, GlobalSeq, PageInfo, Pull, PullError, PullMode, PullPage, Push, PushError,
    Recovery, SyncBackend,
};
use tokio::time::Instant;

use super::{Batch, Client, Content, Page, Pushed, patiently};
use crate::error::{CommandError, chain};

pub(crate) struct BackendClient {
    backend: Arc<dyn SyncBackend>,
    /// Which incarnation answers; unknown until it has answered once.
    backend_id: Option<BackendId>,
    pages: Option<BoxStream<'static, Result<PullPage, PullError>>>,
}

impl BackendClient {
    pub(crate) fn new(backend: Arc<dyn SyncBackend>) -> Self {
        Self { backend, backend_id: None, pages: None }
    }
}

#[async_trait]
impl Client for BackendClient {
    async fn push(&mut self, batch: &Batch<'_>) -> Result<Pushed, CommandError> {
        // As applications do, before their first push.
        if self.backend_id.is_none() {
            self.pull(PullMode::Once).await?;
            self.page().await?;
            self.pages = None;
        }
        let push = Push::new(self.backend_id.clone(), GlobalSeq(batch.parent), None, batch.events());
        let outcome = patiently("a push", async { Ok(self.backend.push(push).await) }).await?;
        match outcome {
            Ok(ack) if ack.cursor.after.0 == batch.last() => Ok(Pushed::Accepted),
            Ok(ack) => Err(CommandError::new(format!(
                "a push of events up to {} was acknowledged up to {}",
                batch.last(),
                ack.cursor.after.0
            ))),
            Err(PushError::UpstreamAhead { head, .. }) => Ok(Pushed::Ahead { head: head.0 }),
            Err(error @ (PushError::Busy(_) | PushError::Backend { .. })) => {
                Ok(Pushed::Failed(chain(&error)))
            }
            Err(error) => {
                let what = match error.recovery() {
                    Recovery::Unauthorized => "the server refuses what this client shows it",
                    _ => "a push failed",
                };
                Err(CommandError::new(what).caused_by(error))
            }
        }
    }

    async fn pull(&mut self, mode: PullMode) -> Result<(), CommandError> {
        if mode == PullMode::Live && !self.backend.capabilities().live_pull {
            return Err(CommandError::new(
                "a store cannot be followed over this protocol: it has no live pull",
            )
            .hint("choose another --dialect"));
        }
        self.pages = Some(self.backend.pull(Pull::new(None, Cursor::start(), mode)));
        Ok(())
    }

    async fn page(&mut self) -> Result<Option<Page>, CommandError> {
        let Some(pages) = &mut self.pages else { return Ok(None) };
        let page = patiently("a pull", async { Ok(pages.next().await) }).await?;
        let page = page.transpose().map_err(|error| CommandError::new("a pull failed").caused_by(error))?;
        let at = Instant::now();
        Ok(page.map(|page| {
            self.backend_id = Some(page.backend_id);
            let events = page.events.len() as u64;
            Page {
                at,
                events,
                is_last: page.info == PageInfo::CaughtUp,
                content: Content::Events(page.events),
            }
        }))
    }
}
