//! Links over sockets keep the contract of links.

use std::sync::Arc;

use async_trait::async_trait;
use livestore_conformance::link::LinkFixture;
use livestore_engine::{Store, StoreConfig};
use livestore_eventlog_memory::MemoryStorage;
use livestore_traits::{LeaderLink, OpenRendezvous, Rendezvous, SyncBackend};
use livestore_transport_local::{LocalRendezvous, Medium};
use tempfile::TempDir;

use crate::support::{LIMIT, config};

struct OverSocket(Medium);

struct Leader {
    store: Store,
    rendezvous: LocalRendezvous,
    open: Box<dyn OpenRendezvous>,
    _dir: TempDir,
}

#[async_trait]
impl LinkFixture for OverSocket {
    type Leader = Leader;

    async fn leader(&self, upstream: Arc<dyn SyncBackend>) -> Leader {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = StoreConfig::default();
        settings.leader.backoff_min = std::time::Duration::from_millis(1);
        settings.leader.backoff_max = std::time::Duration::from_millis(10);
        let store =
            livestore_integration::notebook(&MemoryStorage::default()).config(settings).upstream(upstream);
        let store = store.start().await.unwrap();
        let mut config = config();
        config.medium = self.0;
        let rendezvous = LocalRendezvous::new(dir.path(), config);
        let open = rendezvous.open(store.link()).await.unwrap();
        Leader { store, rendezvous, open, _dir: dir }
    }

    async fn link(&self, leader: &Leader) -> Arc<dyn LeaderLink> {
        leader.rendezvous.connect()
    }

    async fn stop(&self, leader: Leader) {
        leader.store.shutdown(LIMIT).await.unwrap();
        drop(leader.open);
    }
}

mod unix {
    use super::*;
    livestore_conformance::link!(OverSocket(Medium::Auto));
}

mod tcp {
    use super::*;
    livestore_conformance::link!(OverSocket(Medium::Tcp));
}
