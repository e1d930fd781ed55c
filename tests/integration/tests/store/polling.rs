//! A backend without live pull is asked again and again.

use std::time::Duration;

use livestore_backend_memory::MemoryBackend;
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{line, notebook, read};

use crate::support::{Tampered, client, eager};

#[tokio::test]
async fn clients_that_poll_converge() {
    let backend = MemoryBackend::new();
    let (one, two) = (
        client(Tampered::new(backend.clone()).polled()).await,
        client(Tampered::new(backend).polled()).await,
    );
    for n in 0..20 {
        one.commit([line(format!("a{n}"))]).unwrap();
        two.commit([line(format!("b{n}"))]).unwrap();
    }
    for store in [&one, &two] {
        store.watch_status().wait_for(|status| status.upstream_head.global.0 == 40).await.unwrap();
        store.synced().await.unwrap();
    }
    assert_eq!(read(&one).lines.len(), 40);
    assert_eq!(read(&one), read(&two));
}

#[tokio::test]
async fn synced_asks_now_instead_of_trusting_the_last_poll() {
    let mut config = eager();
    config.leader.poll_interval = Duration::from_secs(3600);
    let backend = MemoryBackend::new();
    let store = notebook(&MemoryStorage::default())
        .config(config)
        .upstream(Tampered::new(backend.clone()).polled())
        .start()
        .await
        .unwrap();
    store.synced().await.unwrap();
    let other = client(backend).await;
    other.commit([line("news")]).unwrap().confirmed().await.unwrap();
    store.synced().await.unwrap();
    assert_eq!(read(&store).lines, ["news"]);
}
