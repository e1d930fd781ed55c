//! Files that were damaged between two starts.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use livestore_engine::runtime::RecoveryError;
use livestore_engine::{StartError, Store, StoreBuilder};
use livestore_eventlog_redb::RedbEventlog;
use livestore_integration::{Line, line};
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema, SqliteView};
use livestore_traits::{EventSet, EventlogError, MaterializeError, StoreId};

use crate::support::LIMIT;

fn open(dir: &Path) -> StoreBuilder {
    let schema = SqliteSchema::builder(EventSet::builder().event::<Line>().build().unwrap())
        .table("CREATE TABLE lines (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        .on::<Line>(|state, event, _| {
            state.execute("INSERT INTO lines (text) VALUES (?1)", [&event.text])?;
            Ok(())
        })
        .build()
        .unwrap();
    let (log, state) = (dir.join("log.redb"), dir.join("state.sqlite"));
    Store::builder(StoreId::new("notebook").unwrap())
        .open_eventlog(move || RedbEventlog::open(&log))
        .open_materializer(move || SqliteMaterializer::open(&state, schema.clone()))
}

/// A directory in which a store was shut down with this many lines.
async fn written(lines: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).start().await.unwrap();
    for n in 0..lines {
        store.commit([line(format!("{n}"))]).unwrap();
    }
    store.shutdown(LIMIT).await.unwrap();
    dir
}

fn count(store: &Store) -> usize {
    let count =
        |view: &SqliteView| view.query_row("SELECT count(*) FROM lines", (), |row| row.get::<_, i64>(0));
    store.query(count).unwrap().unwrap().try_into().unwrap()
}

fn overwrite(path: &Path, from: u64) {
    let len = std::fs::metadata(path).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&vec![0x5a; (len - from) as usize]).unwrap();
}

#[tokio::test]
async fn a_state_file_that_is_gone_is_rebuilt() {
    let dir = written(50).await;
    SqliteMaterializer::discard(dir.path().join("state.sqlite")).unwrap();
    let store = open(dir.path()).start().await.unwrap();
    assert_eq!(count(&store), 50);
    store.shutdown(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_damaged_state_is_a_clear_error_and_rebuilt_once_discarded() {
    // The whole file; all but its first page, which is read first.
    for from in [0, 4096] {
        let dir = written(500).await;
        let state = dir.path().join("state.sqlite");
        overwrite(&state, from);
        match open(dir.path()).start().await {
            Err(StartError::Recovery(RecoveryError::Materialize(MaterializeError::Corrupt(_)))) => {}
            other => panic!("overwritten from {from}: {other:?}"),
        }
        SqliteMaterializer::discard(&state).unwrap();
        let store = open(dir.path()).start().await.unwrap();
        assert_eq!(count(&store), 500);
        store.shutdown(LIMIT).await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_log_is_a_clear_error() {
    let dir = written(50).await;
    let log = dir.path().join("log.redb");
    for damage in ["overwritten", "cut"] {
        match damage {
            "overwritten" => overwrite(&log, 0),
            _ => File::options().write(true).open(&log).unwrap().set_len(100).unwrap(),
        }
        match open(dir.path()).start().await {
            Err(StartError::Recovery(RecoveryError::Eventlog(EventlogError::Corrupt(_)))) => {}
            other => panic!("{damage}: {other:?}"),
        }
    }
}
