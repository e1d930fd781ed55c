//! Live pulls of a backend that has none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackends;
use livestore_server::{Server, ServerLimits};
use livestore_traits::{
    BackendProvider, BoxStream, Capabilities, ConnectionStatus, ProviderError, Pull, PullError, PullMode,
    PullPage, Push, PushAck, PushError, StoreId, SyncBackend,
};
use serde_json::json;

use super::{Client, cursor, event, events, no_more, none, numbers};

/// Stores whose pulls end when they have caught up.
#[derive(Debug)]
struct Polled(MemoryBackends);

#[derive(Debug)]
struct PolledBackend(Arc<dyn SyncBackend>);

#[async_trait]
impl BackendProvider for Polled {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        Ok(Arc::new(PolledBackend(self.0.open(store).await?)))
    }
}

#[async_trait]
impl SyncBackend for PolledBackend {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.live_pull = false;
        capabilities
    }
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.0.push(push).await
    }
    fn pull(&self, mut pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        pull.mode = PullMode::Once;
        self.0.pull(pull)
    }
    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.0.connection()
    }
}

#[tokio::test]
async fn a_live_pull_asks_again_and_again() {
    let mut limits = ServerLimits::DEFAULT;
    limits.poll_interval = Duration::from_millis(5);
    let builder = Server::builder(Polled(MemoryBackends::new())).limits(limits);
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let mut writer = Client::open(server.local_addr()).await;
    let mut client = Client::open(server.local_addr()).await;
    client.pull("0", true, none()).await;
    let first = client.item("0").await;
    assert_eq!((&first["batch"], &first["pageInfo"]), (&json!([]), &no_more()));
    let mut seen = Vec::new();
    for batch in [events(1..=1), events(2..=100), events(101..=200), vec![event(201)]] {
        writer.pushes("1", batch.clone()).await;
        let last = batch.last().unwrap()["seqNum"].as_u64().unwrap();
        while seen.last() != Some(&last) {
            seen.extend(numbers(&client.item("0").await));
        }
    }
    assert_eq!(seen, (1..=201).collect::<Vec<_>>());
    // Nothing is said while there is nothing new, and another incarnation is told as ever.
    client.hears_nothing().await;
    let mut other = Client::open(server.local_addr()).await;
    other.pull("0", true, cursor("wrong", 1)).await;
    assert_eq!(super::error(&other.frame().await, "0")["_tag"], "BackendIdMismatchError");
}
