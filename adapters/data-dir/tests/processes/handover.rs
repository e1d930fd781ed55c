//! From one leader to the next.

use std::time::Instant;

use livestore_engine::Presence;
use livestore_traits::TypedEvent as _;
use tokio::runtime::Runtime;

use crate::app::{self, LIMIT, Written};
use crate::worker::Worker;

fn written(number: u32) -> Written {
    Written { writer: "test".into(), run: 0, number }
}

/// A process that leads.
fn leader(dir: &std::path::Path) -> Worker {
    let (mut worker, mut answers) = Worker::start(dir, "leader", None);
    assert_eq!(answers.next().as_deref(), Some("started leader"));
    worker.tell("write 0 10");
    assert_eq!(answers.nth(9).as_deref(), Some("kept 10"));
    worker
}

#[test]
fn a_leader_that_is_killed_is_followed_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut leader = leader(dir.path());
    Runtime::new().unwrap().block_on(async {
        let store = app::open(dir.path(), None).await;
        assert_eq!(store.presence(), Presence::Elsewhere);
        let killed = Instant::now();
        leader.kill();
        store.commit_event(&written(1)).unwrap().persisted().await.unwrap();
        println!("a commit is durable {:?} after the leader was killed", killed.elapsed());
        assert_eq!(store.presence(), Presence::Here);
        assert_eq!(app::all(&store).len(), 11);
        store.shutdown(LIMIT).await.unwrap();
    });
}

#[test]
fn a_leader_that_ends_hands_over() {
    let dir = tempfile::tempdir().unwrap();
    let leader = leader(dir.path());
    Runtime::new().unwrap().block_on(async {
        let store = app::open(dir.path(), None).await;
        assert_eq!(store.presence(), Presence::Elsewhere);
        let told = Instant::now();
        leader.end();
        let ended = told.elapsed();
        store.commit_event(&written(1)).unwrap().persisted().await.unwrap();
        println!(
            "a commit is durable {:?} after the leader was told to end, which took {ended:?}",
            told.elapsed()
        );
        assert_eq!(store.presence(), Presence::Here);
        store.shutdown(LIMIT).await.unwrap();
    });
}

/// What a process commits while nobody leads is kept, and its receipts hold.
#[test]
fn commits_go_on_between_leaders() {
    let dir = tempfile::tempdir().unwrap();
    let mut leader = leader(dir.path());
    Runtime::new().unwrap().block_on(async {
        let store = app::open(dir.path(), None).await;
        leader.kill();
        let receipts: Vec<_> = (0..100).map(|number| store.commit_event(&written(number)).unwrap()).collect();
        assert_eq!(app::all(&store).len(), 110, "{} is applied at once", Written::NAME);
        for receipt in receipts {
            receipt.persisted().await.unwrap();
        }
        store.shutdown(LIMIT).await.unwrap();
        let again = app::open(dir.path(), None).await;
        let numbers: Vec<u32> = app::all(&again).iter().skip(10).map(|written| written.number).collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        again.shutdown(LIMIT).await.unwrap();
    });
}
