//! Who may write the log when several want to.

use std::time::Duration;

use livestore_backend_memory::MemoryBackend;
use livestore_engine::processor::CommitError;
use livestore_engine::runtime::LeaderFailure;
use livestore_engine::{NotConfirmed, ShutdownError, Store};
use livestore_eventlog_memory::MemoryStorage;
use livestore_eventlog_redb::RedbEventlog;
use livestore_integration::{line, notebook, read, schema};
use livestore_leader_file::FileElection;
use livestore_leader_memory::MemoryElection;
use livestore_materializer_memory::MemoryMaterializer;
use livestore_traits::{EventlogError, LostLeadership, StoreId};

use crate::support::LIMIT;

#[tokio::test]
async fn a_second_store_on_one_log_fences_the_first() {
    let storage = MemoryStorage::default();
    let first = notebook(&storage).start().await.unwrap();
    let mut changes = first.changes();
    first.commit([line("by the first")]).unwrap().persisted().await.unwrap();
    let second = notebook(&storage).start().await.unwrap();
    let fenced = first.commit([line("by the fenced one")]).unwrap();
    assert_eq!(fenced.persisted().await, Err(NotConfirmed::Closed), "nobody will ever persist it");
    let failure = first.stopped().await.unwrap();
    assert!(matches!(&*failure, LeaderFailure::Eventlog(EventlogError::Fenced { .. })), "{failure:?}");
    assert!(matches!(first.commit([line("late")]), Err(CommitError::Closed)));
    assert!(matches!(first.shutdown(LIMIT).await, Err(ShutdownError::Failed(_))));
    while changes.next().await.is_ok() {}
    second.commit([line("by the second")]).unwrap().persisted().await.unwrap();
    assert_eq!(read(&second).lines, ["by the first", "by the second"]);
}

#[tokio::test]
async fn a_leader_whose_lease_ends_stops_and_the_next_one_goes_on() {
    let (storage, backend) = (MemoryStorage::default(), MemoryBackend::new());
    let election = MemoryElection::with_lease(Duration::from_millis(1));
    let open = || notebook(&storage).upstream(backend.clone()).election(election.clone());
    let first = open().start().await.unwrap();
    let receipts: Vec<_> = (0..50).map(|n| first.commit([line(format!("{n}"))]).unwrap()).collect();
    receipts[0].persisted().await.unwrap();
    election.stall();
    let failure = first.stopped().await.unwrap();
    assert!(matches!(&*failure, LeaderFailure::Lost(LostLeadership::Expired)), "{failure:?}");
    let mut persisted = 0;
    for receipt in receipts {
        persisted += usize::from(receipt.persisted().await.is_ok());
    }
    let second = open().start().await.unwrap();
    second.synced().await.unwrap();
    let lines = read(&second).lines;
    assert!(lines.len() >= persisted, "{persisted} were persisted, {} are there", lines.len());
    let expected: Vec<String> = (0..lines.len()).map(|n| n.to_string()).collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_second_store_on_one_directory_waits_until_the_first_is_shut_down() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let path = dir.path().join("log.redb");
        Store::builder(StoreId::new("notebook").unwrap())
            .open_eventlog(move || RedbEventlog::open(&path))
            .materializer(MemoryMaterializer::new(schema()))
            .election(FileElection::new(dir.path()))
    };
    let first = open().start().await.unwrap();
    let mut second = std::pin::pin!(open().start());
    assert!(futures::poll!(&mut second).is_pending());
    first.commit([line("by the first")]).unwrap().persisted().await.unwrap();
    assert!(futures::poll!(&mut second).is_pending());
    first.shutdown(LIMIT).await.unwrap();
    let second = tokio::time::timeout(LIMIT, second).await.unwrap().unwrap();
    assert_eq!(read(&second).lines, ["by the first"]);
    second.shutdown(LIMIT).await.unwrap();
}

#[tokio::test]
async fn without_an_election_a_log_in_use_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let path = dir.path().join("log.redb");
        Store::builder(StoreId::new("notebook").unwrap())
            .open_eventlog(move || RedbEventlog::open(&path))
            .materializer(MemoryMaterializer::new(schema()))
    };
    let first = open().start().await.unwrap();
    let error = open().start().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "the eventlog is in use");
    first.shutdown(LIMIT).await.unwrap();
}
