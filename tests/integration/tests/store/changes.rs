//! Following what of the state changed, and the leader's status.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use livestore_backend_memory::MemoryBackend;
use livestore_engine::ChangesEnded;
use livestore_integration::{line, read};
use livestore_materializer_sqlite::SqliteMaterializer;
use livestore_traits::{EventKind, EventSet, NewEvent, StoreId};

use crate::support::{LIMIT, client};

fn names(changed: &BTreeSet<Arc<str>>) -> Vec<&str> {
    changed.iter().map(|name| &**name).collect()
}

#[tokio::test]
async fn own_commits_and_those_of_others_are_told() {
    let backend = MemoryBackend::new();
    let (here, there) = (client(backend.clone()).await, client(backend).await);
    let mut changes = here.changes();
    assert!(changes.next().now_or_never().is_none(), "nothing has changed yet");
    here.commit([line("own")]).unwrap();
    changes.next().now_or_never().expect("own changes are told at once").unwrap();
    here.synced().await.unwrap();
    there.commit([line("foreign")]).unwrap();
    while !read(&here).lines.contains(&"foreign".to_owned()) {
        changes.next().await.unwrap();
    }
}

#[tokio::test]
async fn many_changes_become_one_that_names_all_tables() {
    let table = |name: &str| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, text TEXT)");
    let events = EventSet::builder()
        .named("a", EventKind::Synced)
        .named("b", EventKind::Synced)
        .named("c", EventKind::Synced)
        .build()
        .unwrap();
    let mut schema = livestore_materializer_sqlite::SqliteSchema::builder(events);
    for name in ["a", "b", "c"] {
        let insert = format!("INSERT INTO {name} (text) VALUES (?1)");
        schema = schema.table(table(name)).on_raw(name, move |state, args, _| {
            state.execute(&insert, [args.as_str()])?;
            Ok(())
        });
    }
    let store = livestore_engine::Store::builder(StoreId::new("tables").unwrap())
        .eventlog(livestore_eventlog_memory::MemoryStorage::default().open())
        .materializer(SqliteMaterializer::in_memory(schema.build().unwrap()).unwrap())
        .start()
        .await
        .unwrap();
    let commit = |name: &str| {
        let (name, args) = (livestore_traits::EventName::new(name).unwrap(), livestore_traits::Args::null());
        store.commit([NewEvent { name, args, kind: EventKind::Synced }]).unwrap()
    };
    let (mut slow, mut quick) = (store.changes(), store.changes());
    for _ in 0..10 {
        commit("a");
    }
    assert_eq!(names(&quick.next().await.unwrap()), ["a"]);
    commit("c").persisted().await.unwrap();
    assert_eq!(names(&quick.next().await.unwrap()), ["c"]);
    assert_eq!(names(&slow.next().await.unwrap()), ["a", "c"]);
    assert!(slow.next().now_or_never().is_none(), "the same changes are told again");
}

#[tokio::test]
async fn followers_learn_that_the_store_is_closed() {
    let store = client(MemoryBackend::new()).await;
    let (mut changes, mut status) = (store.changes(), store.watch_status());
    store.commit([line("last")]).unwrap();
    store.shutdown(LIMIT).await.unwrap();
    changes.next().await.unwrap();
    assert_eq!(changes.next().await, Err(ChangesEnded));
    assert_eq!(store.changes().next().await, Err(ChangesEnded), "who comes too late waits for ever");
    while status.changed().await.is_some() {}
    assert!(store.session().wait_for(|_| true).await.is_err());
}

#[tokio::test]
async fn the_status_tells_heads_pending_events_and_confirmation() {
    let backend = MemoryBackend::new();
    let store = client(backend.clone()).await;
    let mut watch = store.watch_status();
    store.commit([line("one"), line("two")]).unwrap();
    let status = watch.wait_for(|status| status.upstream_head.global.0 == 2).await.unwrap();
    assert_eq!((status.pending_events, status.local_head), (0, status.upstream_head));
    assert_eq!(status.backend_id.as_ref(), Some(backend.backend_id()));
    assert_eq!(status.sessions.len(), 1);
    store.synced().await.unwrap();
    assert!(store.store_status().is_confirmed());
}
