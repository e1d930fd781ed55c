//! Several sessions of one store.

use livestore_backend_memory::MemoryBackend;
use livestore_engine::processor::CommitError;
use livestore_engine::{NotConfirmed, SessionOptions};
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{draft, line, notebook, read};
use livestore_traits::SessionId;

use crate::support::{LIMIT, client};

fn named(id: &str) -> SessionOptions {
    let mut options = SessionOptions::default();
    options.session_id = Some(SessionId::new(id).unwrap());
    options
}

#[tokio::test]
async fn a_second_session_of_an_id_ends_the_first_and_goes_on_counting() {
    let store = client(MemoryBackend::new()).await;
    let first = store.open_session(named("window")).await.unwrap();
    let receipt = first.commit([line("of the first")]).unwrap();
    receipt.confirmed().await.unwrap();
    let mut changes = first.changes();
    let second = store.open_session(named("window")).await.unwrap();
    assert!(matches!(first.commit([line("too late")]), Err(CommitError::Closed)));
    assert!(first.status().ended);
    while changes.next().await.is_ok() {}
    let receipt = second.commit([line("of the second")]).unwrap();
    assert_eq!(receipt.n, 2);
    receipt.confirmed().await.unwrap();
    store.synced().await.unwrap();
    assert_eq!(read(&store).lines, ["of the first", "of the second"]);
    assert_eq!(store.store_status().leader.sessions.len(), 2);
}

#[tokio::test]
async fn a_session_that_is_dropped_leaves_its_leader() {
    let store = notebook(&MemoryStorage::default()).start().await.unwrap();
    let session = store.open_session(named("window")).await.unwrap();
    let receipt = session.commit([line("kept")]).unwrap();
    receipt.persisted().await.unwrap();
    drop(session);
    store.watch_status().wait_for(|status| status.sessions.len() == 1).await.unwrap();
    assert_eq!(receipt.confirmed().await, Err(NotConfirmed::Closed));
    store.session().wait_for(|status| status.upstream_head.global.0 == 1).await.unwrap();
    assert_eq!(read(&store).lines, ["kept"]);
}

#[tokio::test]
async fn client_only_events_reach_all_sessions_and_no_other_client() {
    let backend = MemoryBackend::new();
    let (store, other) = (client(backend.clone()).await, client(backend).await);
    let beside = store.open_session(named("beside")).await.unwrap();
    store.commit([draft("first")]).unwrap().confirmed().await.unwrap();
    beside.commit([line("shared"), draft("second")]).unwrap().confirmed().await.unwrap();
    store.synced().await.unwrap();
    other.watch_status().wait_for(|status| status.upstream_head.global.0 == 1).await.unwrap();
    other.synced().await.unwrap();
    assert_eq!(read(&store), read(&beside));
    assert_eq!(read(&store).drafts, [(0, "first".to_owned()), (1, "second".to_owned())]);
    assert_eq!((read(&other).lines.len(), read(&other).drafts.len()), (1, 0));
}

#[tokio::test]
async fn a_store_with_a_name_for_its_session_goes_on_counting_after_a_restart() {
    let storage = MemoryStorage::default();
    for run in 0..3 {
        let store = notebook(&storage).session_id(SessionId::new("cli").unwrap()).start().await.unwrap();
        assert_eq!(store.commit([line("a line")]).unwrap().n, run + 1);
        store.shutdown(LIMIT).await.unwrap();
    }
    assert_eq!(read(&notebook(&storage).start().await.unwrap()).lines.len(), 3);
}

#[tokio::test]
async fn of_two_that_are_opened_at_once_under_one_id_one_lives() {
    let store = client(MemoryBackend::new()).await;
    let (one, two) = futures::join!(store.open_session(named("window")), store.open_session(named("window")));
    let opened: Vec<_> = [one, two].into_iter().flatten().collect();
    let live: Vec<_> = opened.iter().filter(|session| !session.status().ended).collect();
    assert_eq!(live.len(), 1);
    live[0].commit([line("a line")]).unwrap().confirmed().await.unwrap();
}
