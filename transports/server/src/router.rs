//! Where each request goes.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use livestore_traits::{BoxError, StoreId};
use livestore_wire::livestore::{SyncQuery, Transport};
use livestore_wire::{
    Endpoint, InvalidPayload, PAYLOAD_HEADER, PathError, PullQuery, RequestErrorForm, SUBPROTOCOL, StoreForm,
    SyncPayload,
};
use tokio_websockets::{ServerBuilder, WebSocketStream};

use crate::SERVER;
use crate::access::Access;
use crate::authorizer::{AccessDenied, AccessRequest};
use crate::http::{self as plain, Refusal};
use crate::lifecycle::{Phase, Running};
use crate::limits::ServerLimits;
use crate::livestore;
use crate::service::{Shared, SyncBody};
use crate::write_timeout::WriteTimeout;
use crate::ws::{Handshake, Session};

/// How many bytes may be fed to a WebSocket before it is flushed.
const FLUSH_THRESHOLD_BYTES: usize = 64 * 1024;
/// What somebody who points a browser here reads.
const INFO: &str = concat!(
    "Info: Sync backend endpoint, livestore-server/",
    env!("CARGO_PKG_VERSION"),
    ", for native clients and those of @livestore/sync-cf."
);

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
        None if request.uri().path() == "/" => Ok(plain::text(StatusCode::OK, INFO)),
        None => native_client(shared, request).await,
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
    let SyncQuery { store, payload, transport } = query;
    let payload = payload.map(|value| SyncPayload::new(&value)).transpose();
    let (head, body) = request.into_parts();
    let access = match admit(shared, &store, payload, &head).await {
        Ok(access) => access,
        Err(denied) => {
            plain::discard_body(body, &shared.limits).await;
            return Ok(livestore::denied(&denied));
        }
    };
    match transport {
        Transport::Ws => {
            let request = Request::from_parts(head, body);
            let handshake = match Handshake::check(&request, None) {
                Ok(handshake) => handshake,
                Err(error) => return Ok(livestore::no_handshake(error)),
            };
            let store = shared.hub.open(&store).await?;
            upgrade(shared, request, &handshake, move |socket, limits, running| {
                livestore::Session::new(socket, store, access, limits).run(running)
            })
        }
        Transport::Http => {
            let body = plain::read_body(body, &shared.limits).await?;
            Ok(livestore::post(shared.hub.open(&store).await?, access, &body).await)
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

/// Every request for a store passes here, before anything of the store is touched.
async fn admit(
    shared: &Shared,
    store: &StoreId,
    payload: Result<Option<SyncPayload>, InvalidPayload>,
    head: &Parts,
) -> Result<Access, AccessDenied> {
    // What is wrong with it, not what it is: the source might quote it.
    let payload = payload.map_err(|invalid| AccessDenied::unauthenticated(invalid.to_string()))?;
    let request = AccessRequest::new(store, payload.as_ref(), &head.headers, &head.extensions);
    shared.guard.admit(&request).await
}

/// Answers a client that speaks the native protocols, chosen by the path.
async fn native_client<B>(shared: &Arc<Shared>, request: Request<B>) -> Result<Response<SyncBody>, Refusal>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (id, endpoint) = Endpoint::parse(request.uri().path())?;
    let method = if endpoint == Endpoint::Push { "POST" } else { "GET" };
    if request.method() != method {
        return Err(Refusal::method(method));
    }
    refuse_if_draining(shared)?;
    let (head, body) = request.into_parts();
    let encoding = plain::encoding_of(&head.headers);
    let payload = head.headers.get(PAYLOAD_HEADER);
    let payload = payload.map(|value| SyncPayload::from_header(value.as_bytes())).transpose();
    let access = match admit(shared, &id, payload, &head).await {
        Ok(access) => access,
        Err(denied) => {
            plain::discard_body(body, &shared.limits).await;
            return Err(denied.into());
        }
    };
    match endpoint {
        Endpoint::Sync => {
            let request = Request::from_parts(head, body);
            let handshake = Handshake::check(&request, Some(SUBPROTOCOL))?;
            let store = shared.hub.open(&id).await?;
            upgrade(shared, request, &handshake, move |socket, limits, running| {
                Session::new(socket, store, access, limits).run(running)
            })
        }
        Endpoint::Store => {
            let store = shared.hub.open(&id).await?;
            let capabilities = store.capabilities().into();
            Ok(plain::ok(encoding, &StoreForm { server: SERVER.to_owned(), capabilities }))
        }
        Endpoint::Push => {
            let body = plain::read_body(body, &shared.limits).await?;
            let store = shared.hub.open(&id).await?;
            plain::push(&store, &access, &head.headers, encoding, &body).await
        }
        Endpoint::Pull => {
            let query = PullQuery::parse(head.uri.query().unwrap_or_default())?;
            let store = shared.hub.open(&id).await?;
            plain::pull(&store, &access, shared, query, encoding).await
        }
        Endpoint::History { backend_id, page } => {
            let store = shared.hub.open(&id).await?;
            plain::history(store, &backend_id, page, &head.headers, shared.has_public_history).await
        }
    }
}

/// A connection that has become a WebSocket.
type UpgradedSocket = WebSocketStream<WriteTimeout<TokioIo<hyper::upgrade::Upgraded>>>;

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
            // The peer left before the answer was out. The store goes before `running`, for which a shutdown waits.
            drop(serve);
            return;
        };
        // Where the service is mounted elsewhere, the stream below knows no bound.
        let upgraded = WriteTimeout::new(TokioIo::new(upgraded), limits.write_timeout);
        let socket = ServerBuilder::new()
            .limits(tokio_websockets::Limits::default().max_payload_len(Some(limits.max_frame_bytes)))
            .config(tokio_websockets::Config::default().flush_threshold(FLUSH_THRESHOLD_BYTES))
            .serve(upgraded);
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
        RequestErrorForm::Unauthenticated => StatusCode::UNAUTHORIZED,
        RequestErrorForm::Forbidden => StatusCode::FORBIDDEN,
        RequestErrorForm::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        RequestErrorForm::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RequestErrorForm::Timeout => StatusCode::REQUEST_TIMEOUT,
        RequestErrorForm::Busy | RequestErrorForm::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        // Also what a form of a later version says here: that the request was wrong.
        _ => StatusCode::BAD_REQUEST,
    }
}
