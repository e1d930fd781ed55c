//! What `commit` refuses, leaving no trace.

use livestore_engine::Store;
use livestore_engine::processor::CommitError;
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{draft, line, notebook, read};
use livestore_traits::{Args, EventKind, EventName, MaterializeError, NewEvent};

use crate::support::{LIMIT, eager};

async fn store() -> Store {
    let mut config = eager();
    config.session.limits.max_event_bytes = 1000;
    config.session.limits.max_batch_bytes = 2000;
    config.session.limits.max_batch_events = 4;
    config.session.max_pending_events = 10;
    notebook(&MemoryStorage::default()).config(config).start().await.unwrap()
}

fn raw(name: &str, args: &'static str) -> NewEvent {
    let (name, args) = (EventName::new(name).unwrap(), Args::parse(args).unwrap());
    NewEvent { name, args, kind: EventKind::Synced }
}

#[tokio::test]
async fn what_cannot_be_committed_leaves_no_trace() {
    let store = store().await;
    let refuse = |events: Vec<NewEvent>| store.commit(events).unwrap_err();
    assert!(matches!(refuse(vec![]), CommitError::Empty));
    let large = "x".repeat(1000);
    assert!(matches!(refuse(vec![line(&*large)]), CommitError::TooLarge { .. }));
    assert!(matches!(refuse(vec![draft(&*large)]), CommitError::TooLarge { .. }));
    let half = "x".repeat(600);
    let unit = vec![line(&*half), line(&*half), line(&*half)];
    assert!(matches!(refuse(unit), CommitError::TooLarge { events: 3, .. }));
    let unit = (0..5).map(|n| line(format!("{n}"))).collect();
    assert!(matches!(refuse(unit), CommitError::TooLarge { events: 5, max_events: 4, .. }));
    for args in [r#"{"text":"a","id":9007199254740993}"#, r#"{"text":"a","text":"b"}"#] {
        assert!(matches!(refuse(vec![raw("v1.Line", args)]), CommitError::Args(_)), "{args} passed");
    }
    assert!(matches!(
        refuse(vec![raw("v9.Undeclared", "null")]),
        CommitError::Refused(MaterializeError::Undeclared(_))
    ));
    assert!(matches!(
        refuse(vec![raw("v1.Line", r#"{"other":"field"}"#)]),
        CommitError::Refused(MaterializeError::Event { .. })
    ));
    assert_eq!(read(&store), Default::default());
    assert_eq!(store.status().pending_events, 0);
    assert_eq!(store.commit([line("fine")]).unwrap().n, 1);
}

#[tokio::test]
async fn a_store_that_never_syncs_takes_only_so_much() {
    let store = store().await;
    for n in 0..10 {
        store.commit([line(format!("{n}"))]).unwrap().persisted().await.unwrap();
    }
    assert!(matches!(store.commit([line("more")]), Err(CommitError::TooManyPending { limit: 10 })));
    assert_eq!(read(&store).lines.len(), 10);
    store.shutdown(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_store_that_syncs_takes_more_once_some_is_confirmed() {
    let mut config = eager();
    config.session.max_pending_events = 1;
    let store = notebook(&MemoryStorage::default())
        .config(config)
        .upstream(livestore_backend_memory::MemoryBackend::new())
        .start()
        .await
        .unwrap();
    for n in 0..5 {
        store.commit([line(format!("{n}"))]).unwrap().confirmed().await.unwrap();
    }
    assert_eq!(read(&store).lines.len(), 5);
}
