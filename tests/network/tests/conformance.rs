//! The backend suite through the real server over the simulated network, for every wire.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackends;
use livestore_conformance::backend::{BackendFixture, Carries};
use livestore_dial::Connector;
use livestore_server::{Server, SyncService};
use livestore_sim_network::{LinkConfig, SimNetwork};
use livestore_traits::{StoreId, SyncBackend};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_livestore::{LiveStoreHttp, LiveStoreHttpConfig, LiveStoreWs, LiveStoreWsConfig};
use livestore_transport_ws::{WsBackend, WsConfig};

/// A store is a network with a server that holds nothing else; what varies is the wire.
struct Simulated {
    wire: fn(Arc<dyn Connector>) -> Arc<dyn SyncBackend>,
    carries: Carries,
    /// Whether pulls wait. Asking every few milliseconds through an idle hour takes long on any clock.
    is_live: bool,
}

struct World {
    network: SimNetwork,
    service: SyncService,
}

fn serve() -> World {
    let network = SimNetwork::new(1);
    network.configure(LinkConfig::IDEAL);
    let service = Server::builder(MemoryBackends::new()).into_service();
    network.serve("server", service.clone());
    World { network, service }
}

#[async_trait]
impl BackendFixture for Simulated {
    type Store = World;

    async fn create(&self) -> World {
        serve()
    }
    async fn connect(&self, world: &World) -> Arc<dyn SyncBackend> {
        (self.wire)(world.network.connector("client"))
    }
    async fn reopen(&self, _: World) -> Option<World> {
        None
    }
    async fn replace(&self, old: World) -> Option<World> {
        assert!(old.service.shutdown().await, "nobody used the old server any more");
        Some(serve())
    }
    fn runs_on_virtual_time(&self) -> bool {
        self.is_live
    }
    fn carries(&self) -> Carries {
        self.carries
    }
}

const LIVESTORE: Carries = Carries { commits: false, proofs: false };

fn store() -> StoreId {
    StoreId::new("todo").unwrap()
}

mod websocket {
    use super::*;
    livestore_conformance::backend!(Simulated {
        wire: |connector| {
            let mut config = WsConfig::new("ws://server", store()).unwrap();
            config.connector = Some(connector);
            Arc::new(WsBackend::new(config))
        },
        carries: Carries::ALL,
        is_live: true,
    });
}

mod http {
    use super::*;
    livestore_conformance::backend!(Simulated {
        wire: |connector| {
            let mut config = HttpConfig::new("http://server", store()).unwrap();
            config.connector = Some(connector);
            Arc::new(HttpBackend::new(config))
        },
        carries: Carries::ALL,
        is_live: true,
    });
}

mod livestore_websocket {
    use super::*;
    livestore_conformance::backend!(Simulated {
        wire: |connector| {
            let mut config = LiveStoreWsConfig::new("ws://server", store()).unwrap();
            config.connector = Some(connector);
            Arc::new(LiveStoreWs::new(config))
        },
        carries: LIVESTORE,
        is_live: true,
    });
}

mod livestore_http {
    use super::*;
    livestore_conformance::backend!(Simulated {
        wire: |connector| {
            let mut config = LiveStoreHttpConfig::new("http://server", store()).unwrap();
            config.connector = Some(connector);
            Arc::new(LiveStoreHttp::new(config))
        },
        carries: LIVESTORE,
        is_live: false,
    });
}
