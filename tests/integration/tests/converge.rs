//! Clients of one backend converge, whatever each did while it was alone.

use std::sync::Arc;
use std::time::Duration;

use livestore_backend_memory::MemoryBackend;
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{draft, line, notebook, read};
use livestore_traits::SyncBackend;
use livestore_transport_memory::Network;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_commit_is_read_at_once_then_persisted_then_confirmed() {
    let backend = MemoryBackend::new();
    let store = notebook(&MemoryStorage::default()).upstream(backend).start().await.unwrap();
    let receipt = store.commit([line("one"), draft("aside"), line("two")]).unwrap();
    assert_eq!(read(&store).lines, ["one", "two"]);
    receipt.persisted().await.unwrap();
    assert_eq!(receipt.confirmed().await.unwrap().to_string(), "e2");
    let status = store.synced().await.unwrap();
    assert_eq!(status.upstream_head.to_string(), "e2");
    store.shutdown(LIMIT).await.unwrap();
}

#[tokio::test]
async fn two_clients_that_commit_at_once_see_one_order() {
    let backend = MemoryBackend::new();
    let first = notebook(&MemoryStorage::default()).upstream(backend.clone()).start().await.unwrap();
    let second = notebook(&MemoryStorage::default()).upstream(backend).start().await.unwrap();
    let mut receipts = Vec::new();
    for n in 0..50 {
        receipts.push(first.commit([line(format!("a{n}"))]).unwrap());
        receipts.push(second.commit([line(format!("b{n}")), draft(format!("note {n}"))]).unwrap());
    }
    for receipt in receipts {
        receipt.confirmed().await.unwrap();
    }
    first.synced().await.unwrap();
    second.synced().await.unwrap();
    for session in [first.session(), second.session()] {
        session.wait_for(|status| status.settled_head.global.0 == 100).await.unwrap();
    }
    assert_eq!(read(&first).lines.len(), 100);
    assert_eq!(read(&first).lines, read(&second).lines);
    assert_eq!(read(&second).drafts.len(), 50);
    assert_eq!(read(&first).drafts.len(), 0);
}

#[tokio::test]
async fn a_client_that_was_offline_rebases_what_it_wrote() {
    let network = Network::new(7);
    let backend: Arc<dyn SyncBackend> = Arc::new(MemoryBackend::new());
    let online = notebook(&MemoryStorage::default())
        .upstream(network.connect(backend.clone(), "online"))
        .start()
        .await
        .unwrap();
    let transport = network.connect(backend, "offline");
    let link = transport.link().clone();
    let offline = notebook(&MemoryStorage::default()).upstream(transport).start().await.unwrap();
    link.partition();
    let away = offline.commit([line("written alone")]).unwrap();
    away.persisted().await.unwrap();
    online.commit([line("written with others")]).unwrap().confirmed().await.unwrap();
    link.heal();
    offline.sync_now();
    assert_eq!(away.confirmed().await.unwrap().to_string(), "e2r1");
    assert_eq!(read(&offline).lines, ["written with others", "written alone"]);
    online.session().wait_for(|status| status.settled_head.global.0 == 2).await.unwrap();
    assert_eq!(read(&online).lines, read(&offline).lines);
}

#[tokio::test]
async fn a_store_that_is_opened_again_goes_on_where_it_was() {
    let (storage, backend) = (MemoryStorage::default(), MemoryBackend::new());
    let store = notebook(&storage).start().await.unwrap();
    for n in 0..10 {
        store.commit([line(format!("{n}")), draft(format!("{n}"))]).unwrap();
    }
    store.shutdown(LIMIT).await.unwrap();
    let store = notebook(&storage).upstream(backend).start().await.unwrap();
    assert_eq!(read(&store).lines.len(), 10);
    assert_eq!(store.synced().await.unwrap().upstream_head.global.0, 10);
    store.shutdown(LIMIT).await.unwrap();
}

#[tokio::test]
async fn sessions_of_one_store_share_its_leader() {
    let store = notebook(&MemoryStorage::default()).upstream(MemoryBackend::new()).start().await.unwrap();
    store.commit([line("before")]).unwrap().persisted().await.unwrap();
    let other = store.open_session(Default::default()).await.unwrap();
    assert_eq!(read(&other).lines, ["before"]);
    let (here, there) = (store.commit([draft("here")]).unwrap(), other.commit([line("there")]).unwrap());
    here.confirmed().await.unwrap();
    there.confirmed().await.unwrap();
    let heads = store.store_status().leader.local_head;
    for session in [store.session(), &other] {
        session.wait_for(|status| status.settled_head == heads).await.unwrap();
    }
    assert_eq!(read(&store), read(&other));
    store.shutdown(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_materializer_fails_leaves_no_trace() {
    let store = notebook(&MemoryStorage::default()).start().await.unwrap();
    store.commit([line("unacceptable")]).unwrap_err();
    store.commit([line("fine"), line("unacceptable")]).unwrap_err();
    assert_eq!(read(&store).lines.len(), 0);
    let receipt = store.commit([line("fine")]).unwrap();
    assert_eq!(receipt.n, 1);
    receipt.persisted().await.unwrap();
    assert_eq!(read(&store).lines, ["fine"]);
}
