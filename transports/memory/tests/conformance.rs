//! Over a network without faults the transport is as good as its backend, with and without latency.

use std::sync::Arc;

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackend;
use livestore_conformance::backend::BackendFixture;
use livestore_traits::SyncBackend;
use livestore_transport_memory::{LinkConfig, Network};

struct OverNetwork {
    network: Network,
}

impl OverNetwork {
    fn new(config: LinkConfig) -> Self {
        let network = Network::new(1);
        network.configure(config);
        Self { network }
    }
}

#[async_trait]
impl BackendFixture for OverNetwork {
    type Store = MemoryBackend;

    async fn create(&self) -> MemoryBackend {
        MemoryBackend::new()
    }
    async fn connect(&self, store: &MemoryBackend) -> Arc<dyn SyncBackend> {
        Arc::new(self.network.connect(Arc::new(store.clone()), "client"))
    }
    async fn reopen(&self, _: MemoryBackend) -> Option<MemoryBackend> {
        None
    }
    async fn replace(&self, _: MemoryBackend) -> Option<MemoryBackend> {
        Some(MemoryBackend::new())
    }
    fn runs_on_virtual_time(&self) -> bool {
        true
    }
}

mod at_once {
    use super::*;

    livestore_conformance::backend!(OverNetwork::new(LinkConfig::default()));
}

/// Duplicates are no fault for a client either: pushes are idempotent, and pages are numbered.
mod late_and_twice {
    use super::*;

    livestore_conformance::backend!(OverNetwork::new(LinkConfig {
        duplicate: 0.3,
        ..LinkConfig::with_latency(1, 2)
    }));
}
