//! `GET /stores/{store}/pull`: one page, now or when there is one.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt;
use http::{Response, StatusCode};
use livestore_traits::{BoxStream, Pull, PullError, PullMode, PullPage};
use livestore_wire::{Encoding, PageForm, PageHead, PullQuery};

use super::{Refusal, answer, ok};
use crate::access::Access;
use crate::hub::Store;
use crate::lifecycle::Phase;
use crate::service::{Shared, SyncBody};

pub(crate) async fn pull(
    store: &Store,
    access: &Access,
    shared: &Arc<Shared>,
    query: PullQuery,
    encoding: Encoding,
) -> Result<Response<SyncBody>, Refusal> {
    // What the client shows by then is for another request.
    let wait = query.wait.min(shared.limits.max_wait).min(access.time_left());
    let mode = if wait.is_zero() { PullMode::Once } else { PullMode::Live };
    let mut pages = store.backend().pull(Pull::new(query.backend_id, query.cursor, mode));
    let Some(first) = pages.next().await else {
        return Err(Refusal::pull(PullError::Offline("the backend sent no page".into())));
    };
    let first = first.map_err(Refusal::pull)?;
    let page = if first.after == first.through && !wait.is_zero() {
        wait_for_page(&mut pages, shared, wait).await?.unwrap_or(first)
    } else {
        first
    };
    Ok(match encoding {
        Encoding::Json => ok(encoding, &PageForm::from(page)),
        Encoding::Postcard => {
            let mut form = BytesMut::from(&encoding.encode(&PageHead::from(page.info))[..]);
            form.extend_from_slice(&store.pages().body(&page));
            answer::bytes(StatusCode::OK, encoding, form.freeze())
        }
    })
}

/// The next page that is not empty, unless the time is over, the server drains or the backend has no live pull.
async fn wait_for_page(
    pages: &mut BoxStream<'static, Result<PullPage, PullError>>,
    shared: &Arc<Shared>,
    wait: Duration,
) -> Result<Option<PullPage>, Refusal> {
    let mut running = shared.lifecycle.enter();
    let next = async {
        while let Some(page) = pages.next().await {
            let page = page.map_err(Refusal::pull)?;
            if page.after < page.through {
                return Ok(Some(page));
            }
        }
        Ok(None)
    };
    tokio::select! {
        // A page that is there is better than none.
        biased;
        page = next => page,
        () = tokio::time::sleep(wait) => Ok(None),
        () = running.reached(Phase::Draining) => Ok(None),
    }
}
