//! The link between a session and a leader in one process keeps the contract.

use std::sync::Arc;

use async_trait::async_trait;
use livestore_conformance::link::LinkFixture;
use livestore_engine::Store;
use livestore_traits::{LeaderLink, SyncBackend};

use crate::support::{LIMIT, client};

struct InProcess;

#[async_trait]
impl LinkFixture for InProcess {
    type Leader = Store;

    async fn leader(&self, upstream: Arc<dyn SyncBackend>) -> Store {
        client(upstream).await
    }

    async fn link(&self, leader: &Store) -> Arc<dyn LeaderLink> {
        leader.link()
    }

    async fn stop(&self, leader: Store) {
        leader.shutdown(LIMIT).await.unwrap();
    }
}

livestore_conformance::link!(InProcess);
