//! A backend that is another one than before, or an older copy of itself.

use futures::StreamExt;
use livestore_backend_memory::MemoryBackend;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_engine::Store;
use livestore_engine::processor::{Diverged, StopReason, SyncActivity};
use livestore_engine::runtime::LeaderFailure;
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{draft, line, notebook, read};
use livestore_traits::{
    Attach, BackendProvider, Cursor, EventlogReader, GlobalSeq, GoneCommit, GoneReason, Limits, Position,
    Pull, PullMode, Push, PushError, ReadLimit, SeqNum, StoreId, SyncBackend,
};

use crate::support::{LIMIT, Replaceable, Tampered, client, eager};

async fn client_with(storage: &MemoryStorage, backend: Replaceable, diverged: Diverged) -> Store {
    let mut config = eager();
    config.leader.diverged = diverged;
    notebook(storage).config(config).upstream(backend).start().await.unwrap()
}

/// A backend that has nothing, and a client that has two confirmed lines, a draft, and one line that is not confirmed.
async fn replaced(diverged: Diverged) -> (MemoryStorage, Replaceable, Store) {
    let (storage, backend) = (MemoryStorage::default(), Replaceable::new(MemoryBackend::new()));
    let store = client_with(&storage, backend.clone(), diverged).await;
    store.commit([line("one"), draft("aside")]).unwrap();
    store.commit([line("two")]).unwrap().confirmed().await.unwrap();
    store.synced().await.unwrap();
    backend.replace(
        Tampered::new(MemoryBackend::new())
            .on_push(|_| Err(PushError::Offline("cut off".into())))
            .on_pull(|_| Err(livestore_traits::PullError::Offline("cut off".into()))),
    );
    store.commit([line("pending")]).unwrap().persisted().await.unwrap();
    (storage, backend, store)
}

#[tokio::test]
async fn reset_archives_what_only_the_old_one_had_and_keeps_the_rest() {
    let (storage, backend, store) = replaced(Diverged::Reset).await;
    let new = MemoryBackend::new();
    client(new.clone()).await.commit([line("new history")]).unwrap().confirmed().await.unwrap();
    backend.replace(new.clone());
    store.watch_status().wait_for(|status| status.upstream_head.global.0 == 2).await.unwrap();
    store.synced().await.unwrap();
    assert_eq!(read(&store).lines, ["new history", "pending"]);
    assert_eq!(read(&store).drafts.len(), 1, "what the backend never had cannot be lost with it");
    let other = client(new).await;
    other.synced().await.unwrap();
    assert_eq!(read(&other).lines, read(&store).lines);
    store.shutdown(LIMIT).await.unwrap();
    let log = storage.open();
    let archives = log.archives().unwrap();
    assert_eq!(archives.len(), 1);
    let archived = log.read_archive(archives[0].id, Position::ROOT, ReadLimit::events(10)).unwrap();
    let texts: Vec<&str> =
        archived.iter().filter(|event| event.num.is_synced()).map(|event| event.args.as_str()).collect();
    assert_eq!(texts[..2], [r#"{"text":"one"}"#, r#"{"text":"two"}"#]);
    assert!(!archives[0].reason.is_empty());
}

#[tokio::test]
async fn a_session_is_told_that_the_backend_lost_what_it_had_taken() {
    let backend = Replaceable::new(MemoryBackend::new());
    let store = client(backend.clone()).await;
    let session = store.open_session(Default::default()).await.unwrap();
    let receipt = session.commit([line("confirmed, then lost")]).unwrap();
    receipt.confirmed().await.unwrap();
    let attach =
        Attach { session_id: session.id().clone(), cursor: SeqNum::ROOT, last_n: 1, label: "test".into() };
    drop(session);
    backend.replace(MemoryBackend::new());
    store.watch_status().wait_for(|status| status.generation.0 > 0).await.unwrap();
    store.synced().await.unwrap();
    assert!(read(&store).lines.is_empty());
    let attachment = store.link().attach(attach).await.unwrap();
    assert_eq!(attachment.attached.persisted, 1);
    assert_eq!(attachment.attached.gone, [GoneCommit { n: 1, reason: GoneReason::Archived }]);
    receipt.confirmed().await.expect("what a receipt said it does not take back");
}

#[tokio::test]
async fn reseed_gives_an_empty_backend_the_old_history() {
    let (_storage, backend, store) = replaced(Diverged::Reseed).await;
    let new = MemoryBackend::new();
    backend.replace(new.clone());
    store.watch_status().wait_for(|status| status.upstream_head.global.0 == 3).await.unwrap();
    store.synced().await.unwrap();
    assert_eq!(read(&store).lines, ["one", "two", "pending"]);
    assert_eq!(store.store_status().leader.backend_id.as_ref(), Some(new.backend_id()));
    let other = client(new).await;
    other.synced().await.unwrap();
    assert_eq!(read(&other).lines, read(&store).lines);
}

/// A backend takes larger events than our own clients commit: LiveStore's JavaScript clients do.
#[tokio::test]
async fn reseed_gives_back_an_event_that_is_larger_than_the_clients_own() {
    let old = MemoryBackend::new();
    let mut config = eager();
    config.leader.limits = Limits::BACKEND;
    config.session.limits = Limits::BACKEND;
    let storage = MemoryStorage::default();
    let other = notebook(&storage).config(config).upstream(old.clone()).start().await.unwrap();
    let large = "x".repeat(900_000);
    other.commit([line(&large)]).unwrap().confirmed().await.unwrap();
    let backend = Replaceable::new(old);
    let store = client_with(&MemoryStorage::default(), backend.clone(), Diverged::Reseed).await;
    store.commit([line("after it")]).unwrap().confirmed().await.unwrap();
    let new = MemoryBackend::new();
    backend.replace(new.clone());
    let is_new = |id: &Option<_>| id.as_ref() == Some(new.backend_id());
    store.watch_status().wait_for(|status| is_new(&status.backend_id)).await.unwrap();
    store.synced().await.unwrap();
    let other = client(new).await;
    other.synced().await.unwrap();
    assert_eq!(read(&other).lines, [large.as_str(), "after it"]);
}

/// Another backend that has the first events of this one.
async fn beginning_of(backend: &MemoryBackend, events: usize) -> MemoryBackend {
    let copy = MemoryBackend::new();
    let page = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once)).next().await.unwrap().unwrap();
    let events = page.events[..events].to_vec();
    copy.push(Push::new(None, GlobalSeq::ROOT, None, events)).await.unwrap();
    copy
}

#[tokio::test]
async fn what_both_histories_share_stays_and_reseed_pushes_the_rest() {
    for (diverged, expected) in
        [(Diverged::Reset, vec!["one", "three"]), (Diverged::Reseed, vec!["one", "two", "three"])]
    {
        let old = MemoryBackend::new();
        let backend = Replaceable::new(old.clone());
        let store = client_with(&MemoryStorage::default(), backend.clone(), diverged).await;
        store.commit([line("one")]).unwrap().confirmed().await.unwrap();
        store.commit([line("two")]).unwrap().confirmed().await.unwrap();
        let new = beginning_of(&old, 1).await;
        backend.replace(new.clone());
        let is_new = |id: &Option<_>| id.as_ref() == Some(new.backend_id());
        store.watch_status().wait_for(|status| is_new(&status.backend_id)).await.unwrap();
        store.commit([line("three")]).unwrap().confirmed().await.unwrap();
        store.synced().await.unwrap();
        assert_eq!(read(&store).lines, expected, "{diverged:?}");
        let other = client(new).await;
        other.synced().await.unwrap();
        assert_eq!(read(&other).lines, expected, "{diverged:?}");
    }
}

#[tokio::test]
async fn shutdown_stops_the_store_and_changes_nothing() {
    let (storage, backend, store) = replaced(Diverged::Shutdown).await;
    backend.replace(MemoryBackend::new());
    let failure = store.stopped().await.unwrap();
    assert!(matches!(&*failure, LeaderFailure::Stopped(StopReason::Diverged(_))), "{failure:?}");
    let again = notebook(&storage).start().await.unwrap();
    assert_eq!(read(&again).lines, ["one", "two", "pending"]);
}

#[tokio::test]
async fn ignore_stops_syncing_and_stays_usable() {
    let (_storage, backend, store) = replaced(Diverged::Ignore).await;
    backend.replace(MemoryBackend::new());
    let off = store.watch_status().wait_for(|status| status.activity == SyncActivity::Off).await.unwrap();
    assert!(off.last_error.unwrap().contains("another one than before"));
    store.commit([line("more")]).unwrap().persisted().await.unwrap();
    assert_eq!(read(&store).lines, ["one", "two", "pending", "more"]);
    store.synced().await.unwrap_err();
}

#[tokio::test]
async fn a_restored_backend_keeps_what_it_has_and_the_rest_is_archived() {
    let dir = tempfile::tempdir().unwrap();
    let store_id = StoreId::new("notebook").unwrap();
    let (data, copy, restored) =
        (dir.path().join("data"), dir.path().join("copy"), dir.path().join("restored"));
    std::fs::create_dir_all(&copy).unwrap();
    let storage = MemoryStorage::default();
    let file = {
        let backends = RedbBackends::open(&data, RedbConfig::default()).unwrap();
        let backend = backends.open(&store_id).await.unwrap();
        let store = client_with(&storage, Replaceable::new(backend), Diverged::Reset).await;
        store.commit([line("in the copy")]).unwrap().confirmed().await.unwrap();
        store.shutdown(LIMIT).await.unwrap();
        let files: Vec<_> = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().path()).collect();
        files.into_iter().find(|file| file.extension().is_some_and(|ext| ext == "redb")).unwrap()
    };
    std::fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
    {
        let backends = RedbBackends::open(&data, RedbConfig::default()).unwrap();
        let backend = backends.open(&store_id).await.unwrap();
        let store = client_with(&storage, Replaceable::new(backend), Diverged::Reset).await;
        store.commit([line("after the copy")]).unwrap().confirmed().await.unwrap();
        store.shutdown(LIMIT).await.unwrap();
    }
    livestore_backend_redb::restore(&copy, &restored).unwrap();
    let backends = RedbBackends::open(&restored, RedbConfig::default()).unwrap();
    let backend = backends.open(&store_id).await.unwrap();
    let store = client_with(&storage, Replaceable::new(backend), Diverged::Reset).await;
    store.watch_status().wait_for(|status| status.generation.0 > 0).await.unwrap();
    store.synced().await.unwrap();
    assert_eq!(read(&store).lines, ["in the copy"]);
    store.commit([line("goes on")]).unwrap().confirmed().await.unwrap();
    store.shutdown(LIMIT).await.unwrap();
    let archives = storage.open().archives().unwrap();
    assert_eq!((archives.len(), archives[0].base.to_string()), (1, "e1".to_owned()));
}
