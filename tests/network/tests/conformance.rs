//! The backend suite through the real server over the simulated network, for every wire.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackends;
use livestore_conformance::backend::{BackendFixture, Carries};
use livestore_connect::Connect;
use livestore_server::{Server, SyncService};
use livestore_sim_network::{LinkConfig, SimNetwork, Wire};
use livestore_traits::{StoreId, SyncBackend};

/// A store is a network with a server that holds nothing else; what varies is the wire.
struct Simulated(Wire);

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
        let way = Connect::to(self.0.url("server"), StoreId::new("todo").unwrap());
        way.connector(world.network.connector("client")).backend().unwrap()
    }
    async fn reopen(&self, _: World) -> Option<World> {
        None
    }
    async fn replace(&self, old: World) -> Option<World> {
        assert!(old.service.shutdown().await, "nobody used the old server any more");
        Some(serve())
    }
    fn runs_on_virtual_time(&self) -> bool {
        // There pulls do not wait, and asking every few milliseconds through an idle hour takes long on any clock.
        self.0 != Wire::LiveStoreHttp
    }
    fn carries(&self) -> Carries {
        let is_native = Wire::NATIVE.contains(&self.0);
        Carries { commits: is_native, proofs: is_native }
    }
}

mod websocket {
    use super::*;
    livestore_conformance::backend!(Simulated(Wire::Ws));
}

mod http {
    use super::*;
    livestore_conformance::backend!(Simulated(Wire::Http));
}

mod livestore_websocket {
    use super::*;
    livestore_conformance::backend!(Simulated(Wire::LiveStoreWs));
}

mod livestore_http {
    use super::*;
    livestore_conformance::backend!(Simulated(Wire::LiveStoreHttp));
}
