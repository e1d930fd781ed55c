//! Where each request goes.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use livestore_traits::BoxError;
use livestore_wire::{Encoding, Endpoint, PathError, PullQuery, RequestErrorForm, StoreForm};
use tokio_websockets::ServerBuilder;

use crate::SERVER;
use crate::http::{self as plain, Refusal};
use crate::hub::Store;
use crate::lifecycle::Phase;
use crate::service::{Shared, SyncBody};
use crate::ws::{Handshake, Session};

/// How many bytes may be fed to a WebSocket before it is flushed.
const FLUSH_THRESHOLD_BYTES: usize = 64 * 1024;

pub(crate) async fn answer<B>(shared: &Arc<Shared>, request: Request<B>) -> Response<SyncBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // A shutdown waits for this request.
    let running = shared.lifecycle.enter();
    let encoding = plain::encoding_of(request.headers());
    if request.uri().path() == "/health" {
        return plain::health(running.phase());
    }
    match route(shared, request, encoding).await {
        Ok(response) => response,
        Err(refusal) => refusal.answer(),
    }
}

async fn route<B>(
    shared: &Arc<Shared>,
    request: Request<B>,
    encoding: Encoding,
) -> Result<Response<SyncBody>, Refusal>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (store, endpoint) = Endpoint::parse(request.uri().path())?;
    let method = if endpoint == Endpoint::Push { "POST" } else { "GET" };
    if request.method() != method {
        return Err(Refusal::method(method));
    }
    if shared.lifecycle.phase() != Phase::Serving {
        return Err(Refusal::new(RequestErrorForm::Busy, "the server is going away"));
    }
    // Every request for a store passes here, and nothing of the store was touched yet: whether the request may have it
    // is to be decided on this line, from the request's head and the store's id.
    match endpoint {
        Endpoint::Sync => {
            let handshake = Handshake::check(&request)?;
            upgrade(shared, request, &handshake, shared.hub.open(&store).await?)
        }
        Endpoint::Store => {
            let store = shared.hub.open(&store).await?;
            let capabilities = store.capabilities().into();
            Ok(plain::ok(encoding, &StoreForm { server: SERVER.to_owned(), capabilities }))
        }
        Endpoint::Push => {
            let (head, body) = request.into_parts();
            let body = plain::read_body(body, &shared.limits).await?;
            let store = shared.hub.open(&store).await?;
            plain::push(&store, &head.headers, encoding, &body).await
        }
        Endpoint::Pull => {
            let query = PullQuery::parse(request.uri().query().unwrap_or_default())?;
            let store = shared.hub.open(&store).await?;
            plain::pull(&store, shared, query, encoding).await
        }
        Endpoint::History { backend_id, page } => {
            let store = shared.hub.open(&store).await?;
            plain::history(store, &backend_id, page, request.headers(), shared.has_public_history).await
        }
    }
}

/// Answers the handshake; the WebSocket begins once the answer is out.
fn upgrade<B>(
    shared: &Arc<Shared>,
    mut request: Request<B>,
    handshake: &Handshake,
    store: Store,
) -> Result<Response<SyncBody>, Refusal> {
    let permit = shared
        .websockets
        .clone()
        .try_acquire_owned()
        .map_err(|_| Refusal::new(RequestErrorForm::Busy, "too many websockets"))?;
    let upgraded = hyper::upgrade::on(&mut request);
    let running = shared.lifecycle.enter();
    let limits = shared.limits.clone();
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else {
            // The peer left before the answer was out.
            return;
        };
        let socket = ServerBuilder::new()
            .limits(tokio_websockets::Limits::default().max_payload_len(Some(limits.max_frame_bytes)))
            .config(tokio_websockets::Config::default().flush_threshold(FLUSH_THRESHOLD_BYTES))
            .serve(TokioIo::new(upgraded));
        Session::new(socket, store, limits).run(running).await;
        drop(permit);
    });
    Ok(handshake.answer(plain::empty()))
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        let form = match error {
            PathError::Unknown => RequestErrorForm::NotFound,
            PathError::Id(_) => RequestErrorForm::BadRequest,
        };
        Self::new(form, error.to_string())
    }
}

/// The status that goes with a form.
pub(crate) const fn status(form: RequestErrorForm) -> StatusCode {
    match form {
        RequestErrorForm::NotFound => StatusCode::NOT_FOUND,
        RequestErrorForm::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        RequestErrorForm::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        RequestErrorForm::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RequestErrorForm::Timeout => StatusCode::REQUEST_TIMEOUT,
        RequestErrorForm::Busy | RequestErrorForm::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        // Also what a form of a later version says here: that the request was wrong.
        _ => StatusCode::BAD_REQUEST,
    }
}
