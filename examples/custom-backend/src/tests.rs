//! What only the inside of the backend can bring about: a write that fails.

use super::*;

fn push(after: u64) -> Push {
    let event = SyncedEvent {
        seq: GlobalSeq(after + 1),
        parent: GlobalSeq(after),
        name: "v1.Tested".parse().unwrap(),
        args: livestore_traits::Args::null(),
        client_id: "client".parse().unwrap(),
        session_id: "session".parse().unwrap(),
        commit: None,
        unit_end: true,
        created_at: None,
    };
    Push::new(None, GlobalSeq(after), None, vec![event])
}

/// A log that goes on after a failed write could put a second event at the number of one that reached the disk.
#[tokio::test]
async fn a_failed_write_closes_the_log_until_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.jsonl");
    let backend = JsonLinesBackend::open(&path).unwrap();
    backend.push(push(0)).await.unwrap();

    // Writing to a file that is open for reading fails, as it does on a full disk.
    let writable = std::mem::replace(&mut backend.log.lock().unwrap().file, File::open(&path).unwrap());
    assert!(matches!(backend.push(push(1)).await, Err(PushError::Backend { .. })));
    backend.log.lock().unwrap().file = writable;
    assert!(matches!(backend.push(push(1)).await, Err(PushError::Backend { .. })), "it stays closed");
    assert_eq!(backend.log.lock().unwrap().head(), GlobalSeq(1), "what may not be durable is not visible");

    drop(backend);
    assert!(JsonLinesBackend::open(&path).unwrap().push(push(1)).await.is_ok());
}
