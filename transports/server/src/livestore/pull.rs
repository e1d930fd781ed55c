//! A pull as this protocol wants it: pages that each fit into one item, from the start or after a number, without tokens.

use std::future::ready;
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use livestore_traits::{
    BackendId, Cursor, GlobalSeq, PageInfo, Pull, PullError, PullMode, PullPage, SyncBackend,
};
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
pub(super) fn pages(backend: Arc<dyn SyncBackend>, call: PullCall) -> Pages {
    let is_live = call.live;
    let pages = stream::once(open(backend, call)).try_flatten();
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

async fn open(backend: Arc<dyn SyncBackend>, call: PullCall) -> Result<Pages, PullEnd> {
    let mode = if call.live { PullMode::Live } else { PullMode::Once };
    let mut pages = backend.pull(Pull::new(call.backend_id.clone(), call.cursor.clone(), mode));
    match pages.next().await {
        Some(Ok(first)) => Ok(stream::iter([Ok(first)]).chain(pages.map_err(PullEnd::from)).boxed()),
        Some(Err(PullError::Diverged(_))) => {
            let backend_id = identify(&backend).await?;
            match call.backend_id {
                Some(received) if received != backend_id => {
                    Err(PullEnd::Mismatch(mismatch(&backend_id, &received)))
                }
                _ => Ok(beyond_head(&backend, backend_id, call.cursor.after, mode)),
            }
        }
        Some(Err(error)) => Err(error.into()),
        None => Err(PullError::Offline("the backend sent no page".into()).into()),
    }
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

/// A cursor beyond the head is no error in this protocol: nothing follows it, until the log gets there.
fn beyond_head(
    backend: &Arc<dyn SyncBackend>,
    backend_id: BackendId,
    after: GlobalSeq,
    mode: PullMode,
) -> Pages {
    let nothing = PullPage::new(after, [].into(), None, backend_id.clone(), PageInfo::CaughtUp);
    let nothing = stream::iter([Ok(nothing)]);
    if mode == PullMode::Once {
        return nothing.boxed();
    }
    // No backend tails a place it has not reached, so this one reads up to it.
    let all = backend.pull(Pull::new(Some(backend_id), Cursor::start(), mode));
    nothing.chain(all.map_err(PullEnd::from).try_filter_map(move |page| ready(Ok(rest(page, after))))).boxed()
}

/// What of a page is after `after`.
fn rest(page: PullPage, after: GlobalSeq) -> Option<PullPage> {
    if page.through <= after {
        return None;
    }
    if page.after >= after {
        return Some(page);
    }
    let events = page.events.iter().filter(|event| event.seq > after).cloned().collect();
    Some(PullPage::new(after, events, page.cursor.token, page.backend_id, page.info))
}
