//! One HTTP listener that serves every transport over a hub of backends: the native ones, and LiveStore's own.
//!
//! ```no_run
//! # async fn serve(provider: impl livestore_traits::BackendProvider) -> std::io::Result<()> {
//! use livestore_server::Server;
//!
//! let server = Server::builder(provider).bind("127.0.0.1:8787").await?;
//! println!("listening on {}", server.local_addr());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`ServerBuilder::into_service`] gives the same server as a service, to be mounted into somebody's own hyper, axum or
//! tower server; that server must let connections upgrade (`with_upgrades` in hyper). [`SyncService::serve_connection`]
//! serves a byte stream that is none of TCP's.
//!
//! # What it answers
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | 200, a line that says what this is |
//! | `GET /health` | 200, or 503 while it drains |
//! | `GET /stores/{store}` | what the store's backend can do |
//! | `GET /stores/{store}/sync` | the native WebSocket, subprotocol `livestore.v1` |
//! | `POST /stores/{store}/push` | appends a batch |
//! | `GET /stores/{store}/pull?after&token&backend&wait` | the next page; waits up to `wait` if there is none |
//! | `GET /stores/{store}/history/{backend}/{page}` | events `100 * page + 1` to `100 * page + 100`, once all are there; never changes |
//! | any path with `?storeId&transport=ws` | the WebSocket of `@livestore/sync-cf` clients |
//! | any path with `?storeId&transport=http` | one request of such a client |
//!
//! A store comes into being when it is first asked for. Messages are JSON, or postcard for clients that say
//! `application/x-livestore-postcard` as content type of a push and in `Accept`. Errors of the native transports are always JSON,
//! `{"error": …, "message": …}`: `error` is the name of the variant, with its fields if it has any.
//!
//! | status | errors |
//! | --- | --- |
//! | 400 | `badRequest`, `invalid` (a chain that is broken, args that are no JSON or that JavaScript would change) |
//! | 401, 403 | `unauthenticated`, `unauthorized`; `forbidden` |
//! | 404, 405, 408, 426 | `notFound`, `methodNotAllowed`, `timeout` (of the body), `upgradeRequired` |
//! | 409 | `upstreamAhead` (with what is missing), `diverged`, `clientIdTaken` |
//! | 410 | `trimmed` |
//! | 413 | `bodyTooLarge`, `tooLarge` (of a batch, with the limits) |
//! | 422 | `rejected` (one event, for good) |
//! | 500, 502, 504 | `backend`, `offline`, `unacknowledged` |
//! | 503 | `busy`, `unavailable`; with `Retry-After` |
//!
//! LiveStore's clients get their errors in that protocol's own messages, with status 200. Before a request is one, they get
//! text: 400 `Invalid path` or `UnknownError: …` (access is refused), 426, 503.
//!
//! A WebSocket that the server ends says why:
//!
//! | code | when |
//! | --- | --- |
//! | 1001 | the server is going away |
//! | 1002, 1003, 1009 | a message breaks the protocol, is of the wrong kind, is too large |
//! | 1008 | nothing was heard for too long; too many pulls; a LiveStore client that pings but does not pull |
//! | 1011 | a pull of a LiveStore client failed, which it survives only by connecting anew |
//! | 4401 | the access has expired; come back with another payload |
//!
//! # Access
//!
//! By default everybody may do everything. An [`Authorizer`] decides otherwise: it sees store id, sync payload, headers and
//! peer of each request before the store comes into being, and the events of each push before the backend does.
//! [`ServerBuilder::authorizer`] sets it.
//!
//! LiveStore's clients have their payload in the URL, native ones in the header `livestore-payload`: as base64url of its
//! JSON, or, since people type, as JSON. It is no query parameter there, because URLs end up in the logs of proxies. What
//! LiveStore's clients repeat in each message is ignored; who they are was decided when they connected.
//!
//! | the authorizer says | native | LiveStore |
//! | --- | --- | --- |
//! | [`AccessDenied::Unauthenticated`] | 401 | 400, `UnknownError` |
//! | [`AccessDenied::Forbidden`] | 403 | 400, `UnknownError` |
//! | [`AccessDenied::Unavailable`], or nothing in time | 503, `busy` | 503, `UnknownError` |
//! | the same of a push, or [`Rights::Read`] | the same; in a WebSocket `unauthorized` or `busy` | `UnknownError` of that request |
//! | [`PushDenied::Rejected`] | `rejected`: the client drops that commit | `UnknownError`: it tries again |
//! | [`Principal::expires_at`] is over | 4401; long polls end | 4401 |
//!
//! # By hand
//!
//! Push two events into an empty store. What only this library's own clients know (`commit`, `unitEnd`, `proof`,
//! `backendId`) may be left out:
//!
//! ```sh
//! curl -d '{"parent":0,"events":[
//!   {"seq":1,"parent":0,"name":"v1.TodoCreated","args":{"text":"buy milk"},"clientId":"curl","sessionId":"s"},
//!   {"seq":2,"parent":1,"name":"v1.TodoCreated","args":{"text":"rest"},"clientId":"curl","sessionId":"s"}
//! ]}' http://127.0.0.1:8787/stores/todo/push
//! ```
//!
//! Read the log, then wait for what comes after it (`token` is the one of the page before; with it the server notices
//! when its log was replaced):
//!
//! ```sh
//! curl http://127.0.0.1:8787/stores/todo/pull
//! curl 'http://127.0.0.1:8787/stores/todo/pull?after=2&token=…&wait=20s'
//! ```
//!
//! With a payload, for a server that asks for one:
//!
//! ```sh
//! curl -H 'livestore-payload: {"authToken":"let-me-in"}' http://127.0.0.1:8787/stores/todo/pull
//! ```
//!
//! # Limits
//!
//! [`ServerLimits`] names all of them. Past one, a peer gets a typed error, has to wait, or is closed.

mod access;
mod admission;
mod authorizer;
mod connection;
mod cors;
mod http;
mod hub;
mod lifecycle;
mod limits;
mod listener;
mod livestore;
mod pages;
mod router;
mod service;
mod turns;
mod write_timeout;
mod ws;

pub use authorizer::{
    AccessDenied, AccessRequest, AllowAll, Authorizer, PeerAddr, Principal, PushDenied, Rights,
};
pub use cors::Cors;
pub use limits::ServerLimits;
pub use listener::{Server, ServerBuilder};
pub use livestore_wire::SyncPayload;
pub use service::{SyncBody, SyncService};

/// How this server names itself to its clients.
const SERVER: &str = concat!("livestore-server/", env!("CARGO_PKG_VERSION"));
