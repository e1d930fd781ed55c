//! Connections that run over something else than TCP: clients and server in one process, without a socket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackends;
use livestore_conformance::backend::sample_events;
use livestore_server::{
    AccessDenied, AccessRequest, Authorizer, Principal, PushDenied, Rights, Server, ServerLimits, SyncService,
};
use livestore_traits::{GlobalSeq, Push, PushError, StoreId, SyncBackend, SyncedEvent};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_ws::{Connector, WsBackend, WsConfig};

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

fn websocket(service: &SyncService) -> WsBackend {
    let mut config = WsConfig::new("ws://server", StoreId::new("todo").unwrap()).unwrap();
    config.connector = Some(pipes(service));
    WsBackend::new(config)
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
