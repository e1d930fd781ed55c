//! A pull follows the log by its cursor.
//!
//! ```text
//!  first page (at once, even if empty) ─► pages up to the head ─► Once: ends
//!                                              ▲                  Live: waits for the head, goes on
//!                                              └──────────────────────┘
//! ```
//!
//! There is no queue: a reader that does not ask for the next page costs nothing but its place in the log.

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use livestore_traits::{Cursor, GlobalSeq, Pull, PullError, PullMode, PullPage};
use tokio::sync::watch;

use crate::log::Visible;
use crate::page::Stretch;
use crate::{Failure, LogStorage, StoreBackend};

pub(crate) fn stream<S: LogStorage>(
    backend: StoreBackend<S>,
    pull: Pull,
) -> BoxStream<'static, Result<PullPage, PullError>> {
    let visible = backend.log.watch();
    let reader = Reader { backend, visible, pull, at: None };
    stream::try_unfold(reader, |mut reader| async { Ok(reader.next().await?.map(|page| (page, reader))) })
        .boxed()
}

struct Reader<S> {
    backend: StoreBackend<S>,
    visible: watch::Receiver<Visible>,
    pull: Pull,
    /// The last event delivered; `None` before the first page.
    at: Option<GlobalSeq>,
}

impl<S: LogStorage> Reader<S> {
    async fn next(&mut self) -> Result<Option<PullPage>, PullError> {
        let stretch = match self.at {
            None => self.first().await?,
            Some(at) => {
                if !self.wait_beyond(at).await? {
                    return Ok(None);
                }
                self.backend.read(at).await.map_err(pull_failed::<S>)?
            }
        };
        self.at = Some(stretch.end.seq);
        self.backend.page(stretch).map(Some).map_err(pull_failed::<S>)
    }

    /// Checks that the cursor is one of this history; then the page after it, which may be empty.
    async fn first(&self) -> Result<Stretch, PullError> {
        let Cursor { after, token } = &self.pull.cursor;
        let backend_id = self.backend.backend_id();
        if let Some(foreign) = self.pull.backend_id.as_ref().filter(|id| *id != backend_id) {
            return Err(PullError::Diverged(format!("this is {backend_id}, the cursor is of {foreign}")));
        }
        let head = self.backend.log.head().map_err(pull_failed::<S>)?;
        if *after > head.seq {
            return Err(PullError::Diverged(format!("the cursor is at {after}, the head is {}", head.seq)));
        }
        if let Some(token) = token {
            let tag = self.backend.tag(*after).await.map_err(pull_failed::<S>)?;
            if tag.is_none_or(|tag| tag.0 != **token) {
                return Err(PullError::Diverged(format!("the token at {after} is of another history")));
            }
        }
        if *after == head.seq {
            return Ok(Stretch { after: *after, events: [].into(), end: head });
        }
        self.backend.read(*after).await.map_err(pull_failed::<S>)
    }

    /// Waits until the head is beyond `at`; `false` if the pull does not wait and has caught up.
    async fn wait_beyond(&mut self, at: GlobalSeq) -> Result<bool, PullError> {
        let beyond = |visible: &Visible| visible.failure.is_some() || visible.head.seq > at;
        let reached = match self.pull.mode {
            PullMode::Once => beyond(&self.visible.borrow()),
            // The log that sends is held by the backend in our hands.
            PullMode::Live => self.visible.wait_for(beyond).await.is_ok(),
        };
        self.backend.log.head().map_err(pull_failed::<S>)?;
        Ok(reached)
    }
}

fn pull_failed<S: LogStorage>(failure: Failure) -> PullError {
    PullError::Backend { backend: S::NAME, source: Box::new(failure) }
}
