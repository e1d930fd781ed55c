//! The server as a service: takes requests, from its own listener or from somebody else's HTTP server.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body;
use livestore_traits::{BackendProvider, BoxError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use crate::access::Guard;
use crate::connection::Connection;
use crate::cors::Cors;
use crate::hub::{Hub, HubLimits};
use crate::lifecycle::Lifecycle;
use crate::limits::ServerLimits;
use crate::router;

/// The body of every answer.
pub type SyncBody = UnsyncBoxBody<Bytes, BoxError>;

/// Answers the requests of all transports; mounts into any hyper or tower server that lets connections upgrade.
///
/// Clones are handles of the same server. When the last one is dropped, its WebSockets are too.
///
/// Must be called within a tokio runtime with time.
#[derive(Clone)]
pub struct SyncService {
    pub(crate) shared: Arc<Shared>,
}

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) limits: Arc<ServerLimits>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) lifecycle: Lifecycle,
    /// One permit per connection that speaks HTTP.
    pub(crate) connections: Arc<Semaphore>,
    /// One permit per WebSocket.
    pub(crate) websockets: Arc<Semaphore>,
    pub(crate) has_public_history: bool,
    pub(crate) cors: Cors,
}

impl SyncService {
    pub(crate) fn new(
        provider: Box<dyn BackendProvider>,
        limits: ServerLimits,
        guard: Guard,
        has_public_history: bool,
        cors: Cors,
    ) -> Self {
        let hub_limits = HubLimits {
            max_open_stores: limits.max_open_stores,
            idle_timeout: limits.store_idle_timeout,
            max_frame_bytes: limits.max_frame_bytes,
        };
        Self {
            shared: Arc::new(Shared {
                hub: Hub::new(provider, hub_limits),
                guard: Arc::new(guard),
                lifecycle: Lifecycle::new(),
                connections: Arc::new(Semaphore::new(limits.max_connections)),
                websockets: Arc::new(Semaphore::new(limits.max_websockets)),
                limits: Arc::new(limits),
                has_public_history,
                cors,
            }),
        }
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<SyncBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        router::answer(&self.shared, request).await
    }

    /// Serves a connection that somebody else has accepted, as the server's own listener serves its own: a Unix socket, a
    /// TLS stream, one end of a pipe. Returns when it has ended, has become a WebSocket, or the server stops; at once if
    /// there are [`ServerLimits::max_connections`] already.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection, unless it has become a WebSocket.
    pub async fn serve_connection<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        if let Some(connection) = Connection::admit(self) {
            connection.serve(stream, peer).await;
        }
    }

    /// Drains: refuses new work, answers what is in flight, closes WebSockets as going away, and drops what is not
    /// done after [`ServerLimits::shutdown_timeout`]. Returns whether all was done in time.
    ///
    /// For a service that is mounted elsewhere: call it together with the outer server's own shutdown.
    pub async fn shutdown(&self) -> bool {
        self.shared.lifecycle.shutdown(self.shared.limits.shutdown_timeout).await
    }
}

impl fmt::Debug for SyncService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncService")
            .field("hub", &self.shared.hub)
            .field("phase", &self.shared.lifecycle.phase())
            .finish_non_exhaustive()
    }
}

impl<B> hyper::service::Service<Request<B>> for SyncService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<SyncBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        async move { Ok(service.answer(request).await) }.boxed()
    }
}

impl<B> tower_service::Service<Request<B>> for SyncService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<SyncBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        hyper::service::Service::call(self, request)
    }
}
