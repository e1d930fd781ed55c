//! Shutting down, dropping, and opening again.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use livestore_backend_memory::MemoryBackend;
use livestore_engine::processor::CommitError;
use livestore_engine::{NotConfirmed, ShutdownError, Store, StoreBuilder};
use livestore_eventlog_memory::MemoryStorage;
use livestore_eventlog_redb::RedbEventlog;
use livestore_integration::{Line, Notebook, line, notebook, read, schema};
use livestore_leader_file::FileElection;
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
use livestore_traits::{EventSet, LinkError, StoreId};

use crate::support::{LIMIT, client};

#[tokio::test]
async fn a_shutdown_makes_everything_durable_and_closes_all_handles() {
    let storage = MemoryStorage::default();
    let store = notebook(&storage).start().await.unwrap();
    let (handle, session) = (store.clone(), store.open_session(Default::default()).await.unwrap());
    let receipts: Vec<_> =
        (0..200).map(|n| [&*store, &session][n % 2].commit([line(format!("{n}"))]).unwrap()).collect();
    store.shutdown(LIMIT).await.unwrap();
    for receipt in &receipts {
        assert_eq!(receipt.confirmed().await, Err(NotConfirmed::Closed));
    }
    assert!(matches!(handle.commit([line("late")]), Err(CommitError::Closed)));
    assert!(matches!(session.commit([line("late")]), Err(CommitError::Closed)));
    handle.shutdown(LIMIT).await.unwrap();
    assert!(handle.stopped().await.is_none());
    assert!(matches!(handle.synced().await, Err(LinkError::Gone)));
    handle.open_session(Default::default()).await.unwrap_err();
    let lines = read(&handle).lines;
    let own = (0..200).step_by(2).map(|n| n.to_string());
    assert!(own.into_iter().all(|line| lines.contains(&line)), "the state is read after the end too");
    assert_eq!(read(&notebook(&storage).start().await.unwrap()).lines.len(), 200);
}

/// A schema whose materializer waits for the gate on the leader's thread, so that nothing is published meanwhile.
fn gated(gate: &Arc<Mutex<()>>) -> MemorySchema<Notebook> {
    let gate = gate.clone();
    MemorySchema::builder(EventSet::builder().event::<Line>().build().unwrap())
        .on::<Line>(move |state: &mut Notebook, event, _| {
            if std::thread::current().name() == Some("livestore-leader") {
                drop(gate.lock().unwrap());
            }
            state.lines.push(event.text);
            Ok(())
        })
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_shutdown_without_time_says_what_is_not_durable_and_closes_all_the_same() {
    let gate = Arc::new(Mutex::new(()));
    let store = Store::builder(StoreId::new("notebook").unwrap())
        .eventlog(MemoryStorage::default().open())
        .materializer(MemoryMaterializer::new(gated(&gate)))
        .start()
        .await
        .unwrap();
    let (session, closed) = (store.session().clone(), gate.lock().unwrap());
    store.commit([line("one"), line("two")]).unwrap();
    let open_the_gate = async {
        session.wait_for(|_| false).await.unwrap_err();
        drop(closed);
    };
    let (shut_down, ()) = futures::join!(store.shutdown(Duration::ZERO), open_the_gate);
    assert!(matches!(shut_down, Err(ShutdownError::NotPersisted { pending: 2 })), "{shut_down:?}");
    assert!(matches!(store.commit([line("late")]), Err(CommitError::Closed)));
}

fn on_disk(dir: &Path) -> StoreBuilder {
    let path = dir.join("log.redb");
    Store::builder(StoreId::new("notebook").unwrap())
        .open_eventlog(move || RedbEventlog::open(&path))
        .materializer(MemoryMaterializer::new(schema()))
        .election(FileElection::new(dir))
}

#[tokio::test]
async fn a_store_that_was_dropped_can_be_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let backend = MemoryBackend::new();
    for run in 1..=3 {
        // Waits until the leader before has given the directory up.
        let start = on_disk(dir.path()).upstream(backend.clone()).start();
        let store = tokio::time::timeout(LIMIT, start)
            .await
            .expect("the leader of the dropped store runs on")
            .unwrap();
        store.commit([line("a line")]).unwrap().persisted().await.unwrap();
        assert_eq!(read(&store).lines.len(), run);
    }
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_leaves_nothing_behind() {
    use futures::FutureExt;
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        assert!(on_disk(dir.path()).upstream(MemoryBackend::new()).start().now_or_never().is_none());
    }
    let start = on_disk(dir.path()).start();
    let store =
        tokio::time::timeout(LIMIT, start).await.expect("an abandoned start holds the directory").unwrap();
    store.shutdown(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_session_keeps_the_leader_of_a_dropped_store() {
    let store = client(MemoryBackend::new()).await;
    let session = store.open_session(Default::default()).await.unwrap();
    drop(store);
    session.commit([line("still here")]).unwrap().confirmed().await.unwrap();
}
