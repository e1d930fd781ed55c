//! The backend suite through a real server on a real socket, for each transport.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackends;
use livestore_conformance::backend::BackendFixture;
use livestore_server::Server;
use livestore_traits::{StoreId, SyncBackend};
use livestore_transport_http::{Encoding, HttpBackend, HttpConfig};
use livestore_transport_ws::{WsBackend, WsConfig};

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
}

fn ws(server: &Server, store: StoreId) -> WsBackend {
    WsBackend::new(WsConfig::new(&format!("ws://{}", server.local_addr()), store).unwrap())
}

fn http(server: &Server, store: StoreId, encoding: Encoding) -> Arc<dyn SyncBackend> {
    let mut config = HttpConfig::new(&format!("http://{}", server.local_addr()), store).unwrap();
    config.encoding = encoding;
    Arc::new(HttpBackend::new(config))
}

mod websocket {
    use super::*;
    livestore_conformance::backend!(Served(|server, store| Arc::new(ws(server, store))));
}

mod websocket_as_trait_object {
    use super::*;
    livestore_conformance::backend!(Served(|server, store| {
        let object: Arc<dyn SyncBackend> = Arc::new(ws(server, store));
        Arc::new(object)
    }));
}

mod http_json {
    use super::*;
    livestore_conformance::backend!(Served(|server, store| http(server, store, Encoding::Json)));
}

mod http_postcard {
    use super::*;
    livestore_conformance::backend!(Served(|server, store| http(server, store, Encoding::Postcard)));
}
