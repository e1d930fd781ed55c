//! One connection, from the first byte of its first request until it ends or becomes a WebSocket.

use std::net::SocketAddr;
use std::pin::pin;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use crate::authorizer::PeerAddr;
use crate::lifecycle::{Phase, Running};
use crate::service::SyncService;
use crate::write_timeout::WriteTimeout;

/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The right to serve one connection.
pub(crate) struct Connection {
    service: SyncService,
    running: Running,
    permit: OwnedSemaphorePermit,
}

impl Connection {
    /// None if there are as many as allowed: a further one could only cost what is missing already.
    pub(crate) fn admit(service: &SyncService) -> Option<Self> {
        let permit = service.shared.connections.clone().try_acquire_owned().ok()?;
        Some(Self { service: service.clone(), running: service.shared.lifecycle.enter(), permit })
    }

    pub(crate) async fn serve<S>(self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { service, mut running, permit } = self;
        let limits = &service.shared.limits;
        let header_timeout = limits.header_timeout;
        let stream = WriteTimeout::new(stream, limits.write_timeout);
        let answer = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            service.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), answer)
            .with_upgrades();
        let mut connection = pin!(connection);
        let mut waiting_for = Phase::Draining;
        loop {
            tokio::select! {
                // First, so that a peer that always asks for more does not keep a server from ending.
                biased;
                () = running.reached(waiting_for) => {
                    if running.phase() == Phase::Stopped {
                        break;
                    }
                    connection.as_mut().graceful_shutdown();
                    waiting_for = Phase::Stopped;
                }
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    break;
                }
            }
        }
        drop(permit);
    }
}
