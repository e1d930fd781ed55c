//! `GET /stores/{store}/history/{backend}/{page}`: full pages of immutable history.
//!
//! A page exists once the log has reached its end, and never changes, so that browsers and caches may keep it.

use bytes::Bytes;
use futures::stream;
use futures::{Stream, StreamExt, TryStreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use livestore_traits::{
    BackendId, BoxError, BoxStream, Cursor, GlobalSeq, Pull, PullError, PullMode, PullPage,
};
use livestore_wire::{Encoding, HistoryWriter, RequestErrorForm, history_page};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Refusal, empty};
use crate::hub::Store;
use crate::service::SyncBody;

const PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Where clients show who they are.
const SHOWN: HeaderValue = HeaderValue::from_static("livestore-payload, authorization, cookie");

pub(crate) async fn history(
    store: Store,
    backend_id: &BackendId,
    page: u64,
    headers: &HeaderMap,
    is_public: bool,
) -> Result<Response<SyncBody>, Refusal> {
    let (after, through) = history_page(page).ok_or_else(not_there)?;
    // Asking for what follows the page tells whether the log is this one and has reached the end of the page.
    drop(first_page(&store, backend_id, through).await?);
    let etag = etag(backend_id, page);
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| known == etag || known.as_bytes() == b"*");
    let mut response = if is_known {
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let pages = first_page(&store, backend_id, after).await?;
        let (writer, start) = HistoryWriter::start(backend_id, after, through);
        let rest = Rest { pages, writer, reached: after, through, _store: store };
        let body = stream::once(async { Ok(start) }).chain(rest.pieces()).map_ok(Frame::data);
        Response::new(StreamBody::new(body).boxed_unsync())
    };
    let headers = response.headers_mut();
    if is_public {
        headers.insert(CACHE_CONTROL, PUBLIC);
    } else {
        headers.insert(CACHE_CONTROL, PRIVATE);
        // Another user of the same browser may not be allowed to read it.
        headers.insert(VARY, SHOWN);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Encoding::Json.content_type()));
    headers.insert(ETAG, etag);
    Ok(response)
}

fn etag(backend_id: &BackendId, page: u64) -> HeaderValue {
    // An id may have characters that a header may not.
    let backend_id = utf8_percent_encode(backend_id.as_str(), NON_ALPHANUMERIC);
    HeaderValue::try_from(format!("\"{backend_id}-{page}\"")).expect("escaped text is visible ASCII")
}

fn not_there() -> Refusal {
    Refusal::new(RequestErrorForm::NotFound, "this history has no such full page (yet)")
}

/// The pages of the log after `after`, put back together once the first one has shown that they are there.
async fn first_page(
    store: &Store,
    backend_id: &BackendId,
    after: GlobalSeq,
) -> Result<BoxStream<'static, Result<PullPage, PullError>>, Refusal> {
    let cursor = Cursor { after, token: None };
    let mut pages = store.backend().pull(Pull::new(Some(backend_id.clone()), cursor, PullMode::Once));
    match pages.next().await {
        Some(Ok(first)) => Ok(stream::once(async { Ok(first) }).chain(pages).boxed()),
        // Another incarnation, or not so many events yet.
        Some(Err(PullError::Diverged(_))) | None => Err(not_there()),
        Some(Err(error)) => Err(Refusal::pull(error)),
    }
}

/// What of a page is still to be written.
struct Rest {
    pages: BoxStream<'static, Result<PullPage, PullError>>,
    writer: HistoryWriter,
    reached: GlobalSeq,
    through: GlobalSeq,
    /// Keeps the store open.
    _store: Store,
}

impl Rest {
    fn pieces(self) -> impl Stream<Item = Result<Bytes, BoxError>> {
        stream::try_unfold(Some(self), |rest| async move {
            let Some(mut rest) = rest else { return Ok(None) };
            if rest.reached >= rest.through {
                return Ok(Some((rest.writer.end(), None)));
            }
            let page = rest.pages.next().await.ok_or("the log ended within a full page")??;
            rest.reached = page.through;
            Ok(Some((rest.writer.events(&page.events), Some(rest))))
        })
    }
}
