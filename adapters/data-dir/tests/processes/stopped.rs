//! A leader that is stopped, but not dead: it keeps lock and log, and nobody takes over.

use std::process::Command;
use std::time::Duration;

use livestore_engine::{Presence, StartError, StoreConfig};
use tokio::runtime::Runtime;

use crate::app::{self, LIMIT, Written};
use crate::worker::Worker;

fn signal(worker: &Worker, name: &str) {
    let sent = Command::new("kill").args([name, &worker.child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn sessions_go_on_and_know_who_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (mut leader, mut answers) = Worker::start(dir.path(), "leader", None);
    assert_eq!(answers.next().as_deref(), Some("started leader"));
    Runtime::new().unwrap().block_on(async {
        let store = app::open(dir.path(), None).await;
        let mut presence = store.watch_presence();
        assert_eq!(presence.current(), Presence::Elsewhere);
        signal(&leader, "-STOP");
        let receipt = store.commit_event(&Written { writer: "test".into(), run: 0, number: 1 }).unwrap();
        assert_eq!(app::all(&store).len(), 1);
        let silent = presence.unreachable(Duration::from_millis(1)).await;
        let Presence::Silent { led_by: Some(who) } = silent else { panic!("{silent:?}") };
        assert!(who.contains(&format!("process {}", leader.child.id())), "{who}");

        let mut config = StoreConfig::default();
        config.leader_limit = Some(Duration::from_millis(500));
        let error = app::builder(dir.path(), None).config(config).start().await.unwrap_err();
        assert!(matches!(&error, StartError::NoLeader { led_by: Some(_) }), "{error:?}");

        signal(&leader, "-CONT");
        receipt.persisted().await.unwrap();
        while presence.current() != Presence::Elsewhere {
            presence.changed().await.unwrap();
        }
        leader.tell("write 0 1");
        assert_eq!(answers.next().as_deref(), Some("kept 1"));
        app::until(&store, |store| app::all(store).len() == 2).await;
        store.shutdown(LIMIT).await.unwrap();
        assert_eq!(presence.current(), Presence::Over);
        assert_eq!(presence.unreachable(LIMIT).await, Presence::Over);
    });
}

/// Starting waits for an answer in each of its steps, and in none of them for ever.
#[test]
fn a_store_that_was_not_started_in_time_says_who_leads() {
    let dir = tempfile::tempdir().unwrap();
    let (leader, mut answers) = Worker::start(dir.path(), "leader", None);
    assert_eq!(answers.next().as_deref(), Some("started leader"));
    Runtime::new().unwrap().block_on(async {
        // Stopped at some moment while another one starts.
        for after in [0, 10, 100, 1_000, 10_000] {
            let mut config = StoreConfig::default();
            config.leader_limit = Some(Duration::from_millis(500));
            let starting = tokio::spawn(app::builder(dir.path(), None).config(config).start());
            for _ in 0..after {
                tokio::task::yield_now().await;
            }
            signal(&leader, "-STOP");
            let started = tokio::time::timeout(LIMIT, starting).await.expect("it ends").unwrap();
            signal(&leader, "-CONT");
            match started {
                Ok(store) => store.shutdown(LIMIT).await.unwrap(),
                Err(StartError::NoLeader { led_by: Some(_) }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
}
