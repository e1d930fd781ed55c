//! Where each request goes.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use livestore_traits::BoxError;
use livestore_wire::livestore::{SyncQuery, Transport};
use livestore_wire::{Endpoint, PathError, PullQuery, RequestErrorForm, SUBPROTOCOL, StoreForm};
use tokio_websockets::{ServerBuilder, WebSocketStream};

use crate::SERVER;
use crate::http::{self as plain, Refusal};
use crate::lifecycle::{Phase, Running};
use crate::limits::ServerLimits;
use crate::livestore;
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
    if let Some(response) = shared.cors.preflight(&request) {
        return response;
    }
    let cors = shared.cors.headers(request.headers());
    let query = request.uri().query().and_then(SyncQuery::parse);
    let answer = match query {
        Some(Ok(query)) => livestore_client(shared, request, query).await,
        Some(Err(_)) => Ok(plain::text(StatusCode::BAD_REQUEST, "Invalid path")),
        None if request.uri().path() == "/health" => Ok(plain::health(running.phase())),
        None => route(shared, request).await,
    };
    let mut response = answer.unwrap_or_else(Refusal::answer);
    cors.apply(response.headers_mut());
    response
}

/// Answers a client that speaks LiveStore's own protocol, whatever the path.
async fn livestore_client<B>(
    shared: &Arc<Shared>,
    request: Request<B>,
    query: SyncQuery,
) -> Result<Response<SyncBody>, Refusal>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    refuse_if_draining(shared)?;
    // As below: whether the request may have the store is to be decided on this line, from its head and the query.
    match query.transport {
        Transport::Ws => {
            let handshake = Handshake::check(&request, None)?;
            let store = shared.hub.open(&query.store).await?;
            upgrade(shared, request, &handshake, move |socket, limits, running| {
                livestore::Session::new(socket, store, limits).run(running)
            })
        }
        Transport::Http => {
            let body = plain::read_body(request.into_body(), &shared.limits).await?;
            Ok(livestore::post(shared.hub.open(&query.store).await?, &body).await)
        }
    }
}

fn refuse_if_draining(shared: &Shared) -> Result<(), Refusal> {
    if shared.lifecycle.phase() == Phase::Serving {
        Ok(())
    } else {
        Err(Refusal::new(RequestErrorForm::Busy, "the server is going away"))
    }
}

async fn route<B>(shared: &Arc<Shared>, request: Request<B>) -> Result<Response<SyncBody>, Refusal>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let encoding = plain::encoding_of(request.headers());
    let (store, endpoint) = Endpoint::parse(request.uri().path())?;
    let method = if endpoint == Endpoint::Push { "POST" } else { "GET" };
    if request.method() != method {
        return Err(Refusal::method(method));
    }
    refuse_if_draining(shared)?;
    // Every request for a store passes here, and nothing of the store was touched yet: whether the request may have it
    // is to be decided on this line, from the request's head and the store's id.
    match endpoint {
        Endpoint::Sync => {
            let handshake = Handshake::check(&request, Some(SUBPROTOCOL))?;
            let store = shared.hub.open(&store).await?;
            upgrade(shared, request, &handshake, move |socket, limits, running| {
                Session::new(socket, store, limits).run(running)
            })
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

/// A connection that has become a WebSocket.
type UpgradedSocket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Answers the handshake; the WebSocket begins once the answer is out.
fn upgrade<B, F>(
    shared: &Arc<Shared>,
    mut request: Request<B>,
    handshake: &Handshake,
    serve: impl FnOnce(UpgradedSocket, Arc<ServerLimits>, Running) -> F + Send + 'static,
) -> Result<Response<SyncBody>, Refusal>
where
    F: Future<Output = ()> + Send,
{
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
        serve(socket, limits, running).await;
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
