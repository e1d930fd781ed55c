//! A pull as this protocol wants it: pages that each fit into one item, from the start or after a number, without tokens.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use livestore_traits::{BackendId, Cursor, PageInfo, Pull, PullError, PullMode, PullPage, SyncBackend};
use livestore_wire::livestore::{PullCall, RpcError, cut};

/// Why a pull ends that should not.
#[derive(Debug)]
pub(super) enum PullEnd {
    /// The client knows another log.
    Mismatch(RpcError),
    /// The server's own trouble.
    Failed(PullError),
}

impl From<PullError> for PullEnd {
    fn from(error: PullError) -> Self {
        if let PullError::Backend { backend, source } = &error {
            tracing::error!(backend, error = source, "a pull failed");
        }
        Self::Failed(error)
    }
}

pub(super) type Pages = BoxStream<'static, Result<PullPage, PullEnd>>;

/// The pages of a pull, the first one at once. One that does not stay ends after the page that reaches the head.
pub(super) fn pages(backend: Arc<dyn SyncBackend>, call: PullCall, poll_interval: Duration) -> Pages {
    let is_live = call.live;
    let pages = match (is_live, backend.capabilities().live_pull) {
        (true, false) => poll(backend, call, poll_interval),
        (true, true) => stream::once(open(backend, call, PullMode::Live)).try_flatten().boxed(),
        (false, _) => stream::once(open(backend, call, PullMode::Once)).try_flatten().boxed(),
    };
    let pieces = pages.map_ok(|page| stream::iter(cut(page).into_iter().map(Ok))).try_flatten();
    if is_live {
        return pieces.boxed();
    }
    // What is accepted after the head was reached is for the next pull.
    let until_head = pieces.scan(false, |is_over, page| {
        let page = (!*is_over).then_some(page);
        *is_over = matches!(&page, Some(Ok(page)) if page.info == PageInfo::CaughtUp);
        ready(page)
    });
    until_head.boxed()
}

async fn open(backend: Arc<dyn SyncBackend>, call: PullCall, mode: PullMode) -> Result<Pages, PullEnd> {
    let mut pages = backend.pull(Pull::new(call.backend_id.clone(), call.cursor.clone(), mode));
    match (pages.next().await, call.backend_id) {
        (Some(Ok(first)), _) => Ok(stream::iter([Ok(first)]).chain(pages.map_err(PullEnd::from)).boxed()),
        (Some(Err(PullError::Diverged(_))), Some(received)) => {
            let expected = identify(&backend).await?;
            if expected == received {
                // The reference server has nothing to say to it, until its log has grown past the cursor and goes on
                // with other events than the client has. This answer makes it begin anew.
                tracing::error!(after = %call.cursor.after, "a client has more than its store: events were lost");
            }
            Err(PullEnd::Mismatch(mismatch(&expected, &received)))
        }
        (Some(Err(error)), _) => Err(error.into()),
        (None, _) => Err(PullError::Offline("the backend sent no page".into()).into()),
    }
}

/// A live pull of a backend that has none: asks again and again.
struct Poll {
    backend: Arc<dyn SyncBackend>,
    call: PullCall,
    interval: Duration,
    /// What is left of the last answer.
    pages: Option<Pages>,
    has_begun: bool,
}

impl Poll {
    /// The next page that says something new; the first one does in any case.
    async fn next(&mut self) -> Result<PullPage, PullEnd> {
        loop {
            let page = match &mut self.pages {
                Some(pages) => pages.next().await.transpose()?,
                None => {
                    if self.has_begun {
                        tokio::time::sleep(self.interval).await;
                    }
                    self.pages = Some(open(self.backend.clone(), self.call.clone(), PullMode::Once).await?);
                    continue;
                }
            };
            let Some(page) = page else {
                self.pages = None;
                continue;
            };
            self.call.backend_id = Some(page.backend_id.clone());
            self.call.cursor = page.cursor.clone();
            if !std::mem::replace(&mut self.has_begun, true) || page.after < page.through {
                return Ok(page);
            }
        }
    }
}

fn poll(backend: Arc<dyn SyncBackend>, call: PullCall, interval: Duration) -> Pages {
    let poll = Poll { backend, call, interval, pages: None, has_begun: false };
    stream::try_unfold(poll, async |mut poll| Ok(Some((poll.next().await?, poll)))).boxed()
}

/// Which incarnation answers.
pub(super) async fn identify(backend: &Arc<dyn SyncBackend>) -> Result<BackendId, PullError> {
    let first = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once)).next().await;
    first
        .unwrap_or_else(|| Err(PullError::Offline("the backend sent no page".into())))
        .map(|page| page.backend_id)
}

pub(super) fn mismatch(expected: &BackendId, received: &BackendId) -> RpcError {
    RpcError::BackendIdMismatch { expected: expected.to_string(), received: received.to_string() }
}
