//! Starting: with what is here, or with what the backend has.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use livestore_backend_memory::MemoryBackend;
use livestore_engine::InitialSync;
use livestore_engine::processor::{LeaderStatus, SyncActivity};
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{line, notebook, read};
use livestore_traits::{PullError, PushError};

use crate::support::{LIMIT, Tampered, client, eager};

/// A backend that holds this many lines.
async fn filled(lines: usize) -> MemoryBackend {
    let backend = MemoryBackend::new();
    let writer = client(backend.clone()).await;
    for n in 0..lines {
        writer.commit([line(format!("{n}"))]).unwrap();
    }
    writer.synced().await.unwrap();
    backend
}

fn unreachable_backend() -> Tampered<MemoryBackend> {
    Tampered::new(MemoryBackend::new())
        .on_push(|_| Err(PushError::Offline("no network".into())))
        .on_pull(|_| Err(PullError::Offline("no network".into())))
}

#[tokio::test]
async fn a_store_that_waited_shows_everything_at_once() {
    let backend = filled(1500).await;
    let seen: Arc<Mutex<Vec<LeaderStatus>>> = Arc::default();
    let on_progress = {
        let seen = seen.clone();
        Arc::new(move |status: &LeaderStatus| seen.lock().unwrap().push(status.clone()))
    };
    let store = notebook(&MemoryStorage::default())
        .upstream(backend)
        .initial_sync(InitialSync::Wait { limit: LIMIT, on_progress: Some(on_progress) })
        .start()
        .await
        .unwrap();
    assert_eq!(read(&store).lines.len(), 1500, "the session lags behind what was waited for");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.last().unwrap().activity, SyncActivity::CaughtUp);
    assert!(seen.is_sorted_by_key(|status| status.upstream_head.global), "progress went backwards");
}

#[tokio::test]
async fn a_store_that_skips_the_wait_gets_it_all_later() {
    let store = notebook(&MemoryStorage::default())
        .upstream(filled(10).await)
        .initial_sync(InitialSync::Skip)
        .start()
        .await
        .unwrap();
    store.synced().await.unwrap();
    assert_eq!(read(&store).lines.len(), 10);
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_holds_up_a_start_only_so_long() {
    let wait = InitialSync::Wait { limit: Duration::from_millis(20), on_progress: None };
    let store = notebook(&MemoryStorage::default())
        .config(eager())
        .upstream(unreachable_backend())
        .initial_sync(wait)
        .start()
        .await
        .unwrap();
    store.commit([line("offline")]).unwrap().persisted().await.unwrap();
    assert_eq!(read(&store).lines, ["offline"]);
    let status = store.watch_status().wait_for(|status| status.last_error.is_some()).await.unwrap();
    assert_eq!(status.last_error.unwrap(), "upstream is unreachable: no network");
}

#[tokio::test]
async fn a_store_without_a_backend_does_not_wait_for_one() {
    let wait = InitialSync::Wait { limit: Duration::MAX, on_progress: None };
    let store = notebook(&MemoryStorage::default()).initial_sync(wait).start().await.unwrap();
    let refused = store.synced().await.unwrap_err();
    assert!(refused.to_string().contains("no backend"), "{refused}");
}
