//! Two clients with one client id.

use std::path::Path;

use livestore_backend_memory::MemoryBackend;
use livestore_engine::Store;
use livestore_eventlog_memory::MemoryStorage;
use livestore_eventlog_redb::RedbEventlog;
use livestore_integration::{line, notebook, read, schema};
use livestore_materializer_memory::MemoryMaterializer;
use livestore_traits::{ClientSecret, Eventlog, EventlogReader, Identity, LogCommit, StoreId, Term};

use crate::support::{LIMIT, client};

#[tokio::test]
async fn the_client_that_does_not_own_its_id_takes_a_new_one() {
    let backend = MemoryBackend::new();
    let owner = client(backend.clone()).await;
    owner.commit([line("of the owner")]).unwrap().confirmed().await.unwrap();
    let owned = owner.watch_status().current().client_id;

    let storage = MemoryStorage::default();
    let mut log = storage.open();
    let mut commit = LogCommit::new(&log.heads().unwrap());
    commit.identity = Some(Identity { client_id: owned.clone(), secret: ClientSecret([7; 16]) });
    log.commit(Term(1), commit).unwrap();
    let store = notebook(&storage).start().await.unwrap();
    store.commit([line("offline, under the taken id")]).unwrap().persisted().await.unwrap();
    store.shutdown(LIMIT).await.unwrap();

    let store = notebook(&storage).upstream(backend.clone()).start().await.unwrap();
    let session = store.open_session(Default::default()).await.unwrap();
    let receipts = [store.commit([line("here")]).unwrap(), session.commit([line("there")]).unwrap()];
    for receipt in receipts {
        receipt.confirmed().await.unwrap();
    }
    let status = store.synced().await.unwrap();
    assert_ne!(status.client_id, owned);
    assert_eq!(storage.open().heads().unwrap().identity.unwrap().client_id, status.client_id);
    owner.watch_status().wait_for(|status| status.upstream_head.global.0 == 4).await.unwrap();
    owner.synced().await.unwrap();
    assert_eq!(read(&owner).lines.len(), 4, "an event is missing or repeated");
    assert_eq!(read(&owner).lines, read(&store).lines);
    assert_eq!(read(&session).lines, read(&store).lines);
}

async fn open(dir: &Path, backend: Option<MemoryBackend>) -> Store {
    let path = dir.join("log.redb");
    let builder = Store::builder(StoreId::new("notebook").unwrap())
        .open_eventlog(move || RedbEventlog::open(&path))
        .materializer(MemoryMaterializer::new(schema()));
    match backend {
        Some(backend) => builder.upstream(backend).start().await.unwrap(),
        None => builder.start().await.unwrap(),
    }
}

#[tokio::test]
async fn a_copied_eventlog_pushes_what_both_have_once() {
    let (original, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(original.path(), None).await;
    store.commit([line("written before the copy")]).unwrap().persisted().await.unwrap();
    store.shutdown(LIMIT).await.unwrap();
    std::fs::copy(original.path().join("log.redb"), copy.path().join("log.redb")).unwrap();

    let backend = MemoryBackend::new();
    let one = open(original.path(), Some(backend.clone())).await;
    let two = open(copy.path(), Some(backend)).await;
    for (store, text) in [(&one, "by the original"), (&two, "by the copy")] {
        store.commit([line(text)]).unwrap().confirmed().await.unwrap();
    }
    for store in [&one, &two] {
        store.watch_status().wait_for(|status| status.upstream_head.global.0 == 3).await.unwrap();
        store.synced().await.unwrap();
    }
    assert_eq!(read(&one).lines.len(), 3, "{:?}", read(&one).lines);
    assert_eq!(read(&one).lines, read(&two).lines);
    assert_eq!(read(&one).lines[0], "written before the copy");
}
