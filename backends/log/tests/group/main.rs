//! The group commit: what shares a sync, what is seen when, and what a failing storage does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

mod storage;

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt, poll};
use livestore_backend_log::{LogConfig, StoreBackend, Stores};
use livestore_conformance::backend::{sample_event, sample_events};
use livestore_traits::{
    Cursor, GlobalSeq, Pull, PullError, PullMode, Push, PushAck, PushError, StoreId, SyncBackend, SyncedEvent,
};

use storage::{Disk, GatedStorage, Outcome};

type Backend = StoreBackend<GatedStorage>;

fn stores(disk: &Arc<Disk>, config: LogConfig) -> Stores<GatedStorage> {
    Stores::threaded(GatedStorage(disk.clone()), config).unwrap()
}

async fn open(stores: &Stores<GatedStorage>, store: &str) -> Backend {
    stores.open(&StoreId::new(store).unwrap()).await.unwrap()
}

async fn push(backend: &Backend, parent: u64, count: usize) -> Result<PushAck, PushError> {
    let parent = GlobalSeq(parent);
    backend.push(Push::new(None, parent, None, sample_events("client", parent, count))).await
}

/// Polls a push until the storage holds its events and stands at the closed gate.
async fn until_at_gate(disk: &Disk, push: &mut BoxFuture<'_, Result<PushAck, PushError>>) {
    while !disk.writer_waits() {
        assert!(poll!(&mut *push).is_pending());
        tokio::task::yield_now().await;
    }
}

async fn log(backend: &Backend) -> Result<Vec<SyncedEvent>, PullError> {
    let mut pull = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    let mut events = Vec::new();
    while let Some(page) = pull.next().await {
        events.extend(page?.events.iter().cloned());
    }
    Ok(events)
}

fn assert_backend_failed<T: std::fmt::Debug>(result: Result<T, PushError>) {
    assert!(matches!(result, Err(PushError::Backend { backend: "gated", .. })), "{result:?}");
}

#[tokio::test]
async fn pushes_that_arrive_while_one_is_written_share_the_next_commit() {
    let disk = Arc::new(Disk::default());
    let stores = stores(&disk, LogConfig::default());
    let mut backends = Vec::new();
    for store in 0..20 {
        backends.push(open(&stores, &format!("store-{store}")).await);
    }
    let before = stores.stats().commits;
    disk.close_gate();
    let mut first = push(&backends[0], 0, 1).boxed();
    until_at_gate(&disk, &mut first).await;
    let mut others = join_all(backends[1..].iter().map(|backend| push(backend, 0, 2))).boxed();
    assert!(poll!(&mut others).is_pending());
    disk.open_gate();
    first.await.unwrap();
    for ack in others.await {
        ack.unwrap();
    }
    let stats = stores.stats();
    assert_eq!((stats.commits - before, stats.batches, stats.events), (2, 20, 39));
    assert_eq!(stats.open_stores, 20);
    // The writer gives the room back just after its answers.
    while stores.stats().queued_bytes > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn two_pushes_to_one_head_in_one_group_are_one_chain() {
    let disk = Arc::new(Disk::default());
    let stores = stores(&disk, LogConfig::default());
    let (busy, backend) = (open(&stores, "busy").await, open(&stores, "todo").await);
    disk.close_gate();
    let mut first = push(&busy, 0, 1).boxed();
    until_at_gate(&disk, &mut first).await;
    // The same batch twice, and another one for the same place: all are decided in one group.
    let other = vec![sample_event("other", GlobalSeq::ROOT, "1")];
    let other = backend.push(Push::new(None, GlobalSeq::ROOT, None, other));
    let mut group = futures::future::join3(push(&backend, 0, 2), push(&backend, 0, 2), other).boxed();
    assert!(poll!(&mut group).is_pending());
    disk.open_gate();
    let (accepted, repeated, refused) = group.await;
    assert_eq!(accepted.unwrap(), repeated.unwrap());
    let Err(PushError::UpstreamAhead { head, missing: Some(page) }) = refused else { panic!("{refused:?}") };
    assert_eq!((head, page.events.len()), (GlobalSeq(2), 2));
    first.await.unwrap();
}

#[tokio::test]
async fn nothing_is_seen_before_it_is_durable() {
    let disk = Arc::new(Disk::default());
    let stores = stores(&disk, LogConfig::default());
    let backend = open(&stores, "todo").await;
    let mut live = backend.pull(Pull::new(None, Cursor::start(), PullMode::Live));
    assert_eq!(live.next().await.unwrap().unwrap().events.len(), 0);
    disk.close_gate();
    let mut pushed = push(&backend, 0, 3).boxed();
    until_at_gate(&disk, &mut pushed).await;
    // The storage has the events and did not say yet that they are durable.
    assert!(poll!(live.next()).is_pending());
    assert_eq!(log(&backend).await.unwrap(), []);
    let behind = backend.push(Push::new(None, GlobalSeq(3), None, sample_events("client", GlobalSeq(3), 1)));
    let mut behind = behind.boxed();
    assert!(poll!(&mut behind).is_pending(), "an answer must not rest on what is not durable");
    disk.open_gate();
    pushed.await.unwrap();
    assert_eq!(live.next().await.unwrap().unwrap().events[0].seq, GlobalSeq(1));
    behind.await.unwrap();
    assert_eq!(log(&backend).await.unwrap().len(), 4);
}

#[tokio::test]
async fn after_a_failed_or_panicking_commit_everything_is_refused() {
    for outcome in [Outcome::Fail, Outcome::Panic] {
        let disk = Arc::new(Disk::default());
        let stores = stores(&disk, LogConfig::default());
        let (backend, other) = (open(&stores, "todo").await, open(&stores, "other").await);
        push(&backend, 0, 1).await.unwrap();
        let mut live = backend.pull(Pull::new(None, Cursor::start(), PullMode::Live));
        assert_eq!(live.next().await.unwrap().unwrap().events.len(), 1);
        disk.next(outcome);
        assert_backend_failed(push(&backend, 1, 1).await);
        assert_backend_failed(push(&backend, 1, 1).await);
        assert_backend_failed(push(&backend, 0, 1).await);
        assert_backend_failed(push(&other, 0, 1).await);
        assert!(matches!(log(&other).await, Err(PullError::Backend { .. })));
        assert!(
            matches!(live.next().await, Some(Err(PullError::Backend { .. }))),
            "a live pull must not wait for ever"
        );
        assert!(live.next().await.is_none());
        assert!(stores.open(&StoreId::new("new").unwrap()).await.is_err());
        assert!(stores.stats().failure.is_some());
        assert_eq!(disk.commits_after_failure(), 0, "a storage that failed was written again");
    }
}

#[tokio::test]
async fn after_an_undone_commit_the_next_one_goes_on() {
    let disk = Arc::new(Disk::default());
    let stores = stores(&disk, LogConfig::default());
    let backend = open(&stores, "todo").await;
    disk.next(Outcome::Undo);
    assert_backend_failed(push(&backend, 0, 1).await);
    assert_eq!(log(&backend).await.unwrap(), []);
    assert!(stores.stats().failure.is_none());
    push(&backend, 0, 2).await.unwrap();
    assert_eq!(log(&backend).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_full_queue_makes_callers_wait_and_a_caller_that_goes_is_not_served() {
    let disk = Arc::new(Disk::default());
    // Room for one push.
    let stores = stores(&disk, LogConfig { queue_bytes: 1500, ..LogConfig::default() });
    let (busy, backend) = (open(&stores, "busy").await, open(&stores, "todo").await);
    disk.close_gate();
    let mut first = push(&busy, 0, 1).boxed();
    until_at_gate(&disk, &mut first).await;
    assert!(stores.stats().queued_bytes > 1000);
    let mut gone = push(&backend, 0, 1).boxed();
    assert!(poll!(&mut gone).is_pending());
    drop(gone);
    let mut waiting = push(&backend, 0, 3).boxed();
    assert!(poll!(&mut waiting).is_pending());
    disk.open_gate();
    first.await.unwrap();
    waiting.await.unwrap();
    assert_eq!(log(&backend).await.unwrap().len(), 3);
}

#[tokio::test]
async fn dropping_the_last_handle_waits_for_what_was_handed_over() {
    let disk = Arc::new(Disk::default());
    let stores = stores(&disk, LogConfig::default());
    let backend = open(&stores, "todo").await;
    disk.close_gate();
    let mut pushed = push(&backend, 0, 2).boxed();
    until_at_gate(&disk, &mut pushed).await;
    drop(pushed);
    let opener = std::thread::spawn({
        let disk = disk.clone();
        move || disk.open_gate()
    });
    drop((stores, backend));
    opener.join().unwrap();
    assert_eq!(Arc::strong_count(&disk), 1, "the storage is closed when the last handle is gone");
    let again = open(&self::stores(&disk, LogConfig::default()), "todo").await;
    assert_eq!(log(&again).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_store_is_opened_once_however_often_it_is_asked_for() {
    let disk = Arc::new(Disk::default());
    let stores = stores(&disk, LogConfig::default());
    let ids = join_all((0..10).map(|_| open(&stores, "todo"))).await;
    assert!(ids.iter().all(|backend| backend.backend_id() == ids[0].backend_id()));
    assert_eq!(stores.stats().open_stores, 1);
    let id = ids[0].backend_id().clone();
    drop(ids);
    // A store without a handle holds no memory, as soon as the writer has let go of what it answered.
    while stores.stats().open_stores > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(open(&stores, "todo").await.backend_id(), &id);
}
