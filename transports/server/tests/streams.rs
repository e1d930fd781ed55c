//! Connections that run over something else than TCP: clients and server in one process, without a socket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, Uri};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use livestore_backend_memory::MemoryBackends;
use livestore_conformance::backend::sample_events;
use livestore_server::{
    AccessDenied, AccessRequest, Authorizer, Principal, PushDenied, Rights, Server, ServerLimits, SyncService,
};
use livestore_traits::{
    Args, Cursor, GlobalSeq, Pull, PullMode, Push, PushError, StoreId, SyncBackend, SyncedEvent,
};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_ws::{Connector, WsBackend, WsConfig};
use livestore_wire::{ClientFrame, Encoding, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_websockets::{ClientBuilder, Message};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)), 4242);
const PIPE_BYTES: usize = 16 * 1024;

/// A way into the service through pipes.
fn pipes(service: &SyncService) -> Arc<dyn Connector> {
    let service = service.clone();
    Arc::new(move |_| {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let service = service.clone();
        tokio::spawn(async move { service.serve_connection(far, PEER).await });
        async { io::Result::Ok(near) }
    })
}

/// The near end of a pipe that gives little at a time.
struct Slow {
    stream: DuplexStream,
    pause: Pin<Box<Sleep>>,
}

impl Slow {
    const BYTES: usize = 2048;
    const PAUSE: Duration = Duration::from_secs(1);
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.pause.as_mut().poll(cx));
        let mut bytes = [0; Self::BYTES];
        let mut little = ReadBuf::new(&mut bytes[..buffer.remaining().min(Self::BYTES)]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut little))?;
        buffer.put_slice(little.filled());
        self.pause.as_mut().reset(Instant::now() + Self::PAUSE);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The same way, slowly.
fn slow_pipes(service: &SyncService) -> Arc<dyn Connector> {
    let service = service.clone();
    Arc::new(move |_| {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let service = service.clone();
        tokio::spawn(async move { service.serve_connection(far, PEER).await });
        async { io::Result::Ok(Slow { stream: near, pause: Box::pin(sleep(Slow::PAUSE)) }) }
    })
}

fn ws_config(pipes: Arc<dyn Connector>) -> WsConfig {
    let mut config = WsConfig::new("ws://server", StoreId::new("todo").unwrap()).unwrap();
    config.connector = Some(pipes);
    config
}

fn websocket(service: &SyncService) -> WsBackend {
    WsBackend::new(ws_config(pipes(service)))
}

fn http(service: &SyncService) -> HttpBackend {
    let mut config = HttpConfig::new("http://server", StoreId::new("todo").unwrap()).unwrap();
    config.connector = Some(pipes(service));
    HttpBackend::new(config)
}

fn push(after: u64) -> Push {
    Push::new(None, GlobalSeq(after), None, sample_events("client", GlobalSeq(after), 1))
}

/// Lets in whoever comes from [`PEER`].
struct KnownPeers;

#[async_trait]
impl Authorizer for KnownPeers {
    async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
        if request.peer() != Some(PEER) {
            return Err(AccessDenied::forbidden("a stranger"));
        }
        Ok(Principal::new("peer", Rights::ReadWrite))
    }
    async fn authorize_push(&self, _: &Principal, _: &StoreId, _: &[SyncedEvent]) -> Result<(), PushDenied> {
        Ok(())
    }
}

#[tokio::test]
async fn clients_reach_a_server_that_has_no_socket() {
    let service = Server::builder(MemoryBackends::new()).authorizer(KnownPeers).into_service();
    let (websocket, http) = (websocket(&service), http(&service));
    assert_eq!(websocket.push(push(0)).await.unwrap().cursor.after, GlobalSeq(1));
    assert_eq!(http.push(push(1)).await.unwrap().cursor.after, GlobalSeq(2));
    drop((websocket, http));
    assert!(service.shutdown().await, "it drains such connections too");
}

#[tokio::test]
async fn they_count_as_connections() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_connections = 0;
    let service = Server::builder(MemoryBackends::new()).limits(limits).into_service();
    let refused = http(&service).push(push(0)).await;
    assert!(matches!(refused, Err(PushError::Offline(_) | PushError::Unacknowledged(_))), "{refused:?}");
}

/// A push of one event that no pipe holds.
fn large_push() -> Push {
    let mut push = push(0);
    push.events[0].args = Args::parse(format!("\"{}\"", "x".repeat(500_000))).unwrap();
    push
}

/// Its connection was cut before the page was through, each time anew.
#[tokio::test(start_paused = true)]
async fn a_page_that_takes_minutes_arrives() {
    let service = Server::builder(MemoryBackends::new()).into_service();
    http(&service).push(large_push()).await.unwrap();
    let backend = WsBackend::new(ws_config(slow_pipes(&service)));
    let began = Instant::now();
    let page = backend.pull(Pull::new(None, Cursor::start(), PullMode::Live)).next().await;
    assert_eq!(page.unwrap().unwrap().events.len(), 1);
    let limits = ServerLimits::DEFAULT;
    assert!(began.elapsed() > limits.write_timeout + limits.idle_timeout, "it was not slow");
}

/// The connections of an application that the service is mounted in have no bounds of ours.
#[tokio::test(start_paused = true)]
async fn a_websocket_that_takes_nothing_ends_also_where_the_service_is_mounted() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_websockets = 1;
    let patience = limits.write_timeout * 2;
    let service = Server::builder(MemoryBackends::new()).limits(limits).into_service();
    http(&service).push(large_push()).await.unwrap();
    let upgrade = || {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let connection = http1::Builder::new().serve_connection(TokioIo::new(far), service.clone());
        tokio::spawn(connection.with_upgrades());
        let builder = ClientBuilder::from_uri(Uri::from_static("ws://server/stores/todo/sync"));
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        let builder = builder.add_header(SEC_WEBSOCKET_PROTOCOL, protocol).unwrap();
        async move { builder.connect_on(near).await.map(|(socket, _)| socket) }
    };
    let mut deaf = upgrade().await.unwrap();
    let pull = ClientFrame::pull(1, Pull::new(None, Cursor::start(), PullMode::Live), u32::MAX);
    deaf.send(Message::binary(Encoding::Postcard.encode(&pull))).await.unwrap();
    assert!(upgrade().await.is_err(), "only one is allowed");
    sleep(patience).await;
    assert!(upgrade().await.is_ok(), "its place is not free");
}
