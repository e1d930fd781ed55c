//! The backend suite through a real server on a real socket, over LiveStore's own wire.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackends;
use livestore_conformance::backend::{BackendFixture, Carries};
use livestore_server::Server;
use livestore_traits::{StoreId, SyncBackend};
use livestore_transport_livestore::{LiveStoreHttp, LiveStoreHttpConfig, LiveStoreWs, LiveStoreWsConfig};

/// A store is a server that holds nothing else; what varies is the way to it.
struct Served(fn(&Server, StoreId) -> Arc<dyn SyncBackend>);

async fn serve() -> Server {
    Server::builder(MemoryBackends::new()).bind("127.0.0.1:0").await.unwrap()
}

#[async_trait]
impl BackendFixture for Served {
    type Store = Server;

    async fn create(&self) -> Server {
        serve().await
    }
    async fn connect(&self, server: &Server) -> Arc<dyn SyncBackend> {
        (self.0)(server, StoreId::new("todo").unwrap())
    }
    async fn reopen(&self, _: Server) -> Option<Server> {
        None
    }
    async fn replace(&self, old: Server) -> Option<Server> {
        assert!(old.shutdown().await, "nobody used the old server any more");
        Some(serve().await)
    }
    fn runs_on_virtual_time(&self) -> bool {
        false
    }
    fn carries(&self) -> Carries {
        Carries { commits: false, proofs: false }
    }
}

fn ws(server: &Server, store: StoreId) -> Arc<dyn SyncBackend> {
    let config = LiveStoreWsConfig::new(&format!("ws://{}", server.local_addr()), store).unwrap();
    Arc::new(LiveStoreWs::new(config))
}

fn http(server: &Server, store: StoreId) -> Arc<dyn SyncBackend> {
    let config = LiveStoreHttpConfig::new(&format!("http://{}", server.local_addr()), store).unwrap();
    Arc::new(LiveStoreHttp::new(config))
}

mod websocket {
    use super::*;
    livestore_conformance::backend!(Served(ws));
}

mod plain_http {
    use super::*;
    livestore_conformance::backend!(Served(http));
}
