//! Events that an older application does not know.

use std::sync::{Arc, Mutex};

use livestore_backend_memory::MemoryBackend;
use livestore_engine::runtime::{LeaderFailure, UnknownPolicy};
use livestore_engine::{StartError, Store};
use livestore_eventlog_memory::MemoryStorage;
use livestore_eventlog_redb::RedbEventlog;
use livestore_integration::{Line, line, notebook, read, schema};
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema, SqliteView};
use livestore_traits::{Args, EventKind, EventName, EventSet, NewEvent, StoreId};

use crate::support::{LIMIT, client};

const NEWER: &str = "v2.Line";

/// A backend with an event of a newer application between two of ours.
async fn backend() -> MemoryBackend {
    let backend = MemoryBackend::new();
    let events = EventSet::builder().event::<Line>().named(NEWER, EventKind::Synced).build().unwrap();
    let schema = MemorySchema::<()>::builder(events)
        .on::<Line>(|_, _, _| Ok(()))
        .on_raw(NEWER, |_, _, _| Ok(()))
        .build()
        .unwrap();
    let store = Store::builder(StoreId::new("notebook").unwrap())
        .eventlog(MemoryStorage::default().open())
        .materializer(MemoryMaterializer::new(schema))
        .upstream(backend.clone())
        .start()
        .await
        .unwrap();
    let newer = NewEvent {
        name: EventName::new(NEWER).unwrap(),
        args: Args::from_value("newer").unwrap(),
        kind: EventKind::Synced,
    };
    store.commit([line("before"), newer, line("after")]).unwrap().confirmed().await.unwrap();
    backend
}

#[tokio::test]
async fn by_default_they_change_nothing_and_sync_goes_on() {
    let store = client(backend().await).await;
    assert_eq!(store.synced().await.unwrap().upstream_head.global.0, 3);
    assert_eq!(read(&store).lines, ["before", "after"]);
    assert!(store.quarantined().unwrap().is_empty());
}

#[tokio::test]
async fn a_callback_is_told_of_each() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let callback = {
        let told = told.clone();
        UnknownPolicy::Callback(Arc::new(move |event| {
            told.lock().unwrap().push(format!("{} {}", event.num, event.name));
        }))
    };
    let store = notebook(&MemoryStorage::default())
        .upstream(backend().await)
        .on_unknown(callback)
        .start()
        .await
        .unwrap();
    store.synced().await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["e2 v2.Line"]);
}

#[tokio::test]
async fn an_application_that_must_know_them_all_stops() {
    let dir = tempfile::tempdir().unwrap();
    let open = |on_unknown| {
        let log = dir.path().join("log.redb");
        Store::builder(StoreId::new("notebook").unwrap())
            .open_eventlog(move || RedbEventlog::open(&log))
            .materializer(MemoryMaterializer::new(schema()))
            .on_unknown(on_unknown)
    };
    for backend in [Some(backend().await), None] {
        let builder = open(UnknownPolicy::Fail);
        let started = match backend {
            Some(backend) => builder.upstream(backend).start().await,
            // It is in the log by now.
            None => builder.start().await,
        };
        let failure = match started {
            Ok(store) => store.stopped().await.unwrap(),
            // It came while the store was starting.
            Err(StartError::Failed(failure)) => failure,
            Err(other) => panic!("{other:?}"),
        };
        let is_newer = matches!(&*failure, LeaderFailure::Unknown(event) if event.name.as_str() == NEWER);
        assert!(is_newer, "{failure:?}");
    }
    let again = open(UnknownPolicy::Ignore).start().await.unwrap();
    assert_eq!(read(&again).lines, ["before", "after"]);
    again.shutdown(LIMIT).await.unwrap();
}

fn sqlite_schema(version: u32, names: &[&str]) -> SqliteSchema {
    let events = names.iter().fold(EventSet::builder(), |set, name| set.named(name, EventKind::Synced));
    let builder = SqliteSchema::builder(events.build().unwrap())
        .version(version)
        .table("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL)");
    let builder = names.iter().fold(builder, |builder, name| {
        builder.on_raw(name, |state, args, _| {
            state.execute("INSERT INTO texts (text) VALUES (?1)", [args.as_str()])?;
            Ok(())
        })
    });
    builder.build().unwrap()
}

#[tokio::test]
async fn a_newer_application_materializes_what_the_older_one_had_only_logged() {
    let dir = tempfile::tempdir().unwrap();
    let open = |schema: SqliteSchema| {
        let (log, state) = (dir.path().join("log.redb"), dir.path().join("state.sqlite"));
        Store::builder(StoreId::new("notebook").unwrap())
            .open_eventlog(move || RedbEventlog::open(&log))
            .open_materializer(move || SqliteMaterializer::open(&state, schema.clone()))
    };
    let texts = |store: &Store| {
        store
            .query(|view: &SqliteView| {
                view.query_map("SELECT text FROM texts ORDER BY id", (), |row| row.get::<_, String>(0))
                    .unwrap()
            })
            .unwrap()
    };
    let older = open(sqlite_schema(1, &["v1.Line"])).upstream(backend().await).start().await.unwrap();
    older.synced().await.unwrap();
    assert_eq!(texts(&older), [r#"{"text":"before"}"#, r#"{"text":"after"}"#]);
    older.shutdown(LIMIT).await.unwrap();
    let newer = open(sqlite_schema(2, &["v1.Line", NEWER])).start().await.unwrap();
    assert_eq!(texts(&newer), [r#"{"text":"before"}"#, r#""newer""#, r#"{"text":"after"}"#]);
    newer.shutdown(LIMIT).await.unwrap();
}
