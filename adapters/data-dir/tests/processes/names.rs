//! Sessions that have names.

use livestore_engine::Store;
use livestore_traits::SessionId;
use tokio::runtime::Runtime;

use crate::app::{self, LIMIT, Written};
use crate::worker::Worker;

async fn named(dir: &std::path::Path, name: &str) -> Store {
    let session = app::data(dir).session(name.parse().unwrap()).unwrap();
    app::builder(dir, None).session(session).start().await.unwrap()
}

async fn write(store: &Store, number: u32) -> u64 {
    let receipt = store.commit_event(&Written { writer: "test".into(), run: 0, number }).unwrap();
    receipt.persisted().await.unwrap();
    receipt.n
}

#[test]
fn a_session_that_comes_again_goes_on_counting() {
    let dir = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        for n in 1..=3 {
            let store = named(dir.path(), "main").await;
            assert_eq!(store.session().id().as_str(), "main");
            assert_eq!(write(&store, 0).await, n);
            store.shutdown(LIMIT).await.unwrap();
        }
    });
}

#[test]
fn a_duplicate_gets_another_id_and_both_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut worker, mut answers) = Worker::start(dir.path(), "main", None);
    assert_eq!(answers.next().as_deref(), Some("started main"));
    Runtime::new().unwrap().block_on(async {
        let clone = named(dir.path(), "main").await;
        let other: SessionId = clone.session().id().clone();
        assert_ne!(other.as_str(), "main");
        assert_eq!(write(&clone, 1).await, 1);
        worker.tell("write 0 3");
        assert_eq!(answers.nth(2).as_deref(), Some("kept 3"));
        assert_eq!(write(&clone, 2).await, 2);
        // The name is free as soon as its process is gone, however that happens.
        worker.kill();
        let again = named(dir.path(), "main").await;
        assert_eq!(again.session().id().as_str(), "main");
        assert_eq!(write(&again, 3).await, 4);
        assert_eq!(app::all(&again).len(), 6);
        again.shutdown(LIMIT).await.unwrap();
        clone.shutdown(LIMIT).await.unwrap();
    });
}
