//! Files that cannot be a state, that are in use, or that other definitions made.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod support;

use std::fs;
use std::path::Path;

use livestore_materializer_sqlite::rusqlite::Connection;
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema, SqliteView};
use livestore_traits::{
    EventKind, EventSet, MaterializeBatch, MaterializeError, Materializer, OnFailure, Position,
};

const TABLE: &str = "CREATE TABLE t (v)";

fn schema(version: u32, table: &str, names: &[&str]) -> SqliteSchema {
    let events = names.iter().fold(EventSet::builder(), |set, name| set.named(name, EventKind::Synced));
    let builder = SqliteSchema::builder(events.build().unwrap()).version(version).table(table);
    let builder = names.iter().fold(builder, |builder, name| {
        builder.on_raw(name, |state, args, _cx| {
            state.execute("INSERT INTO t (v) VALUES (?1)", [args.to_value::<i64>()?])?;
            Ok(())
        })
    });
    builder.build().unwrap()
}

fn open(path: &Path) -> Result<SqliteMaterializer, MaterializeError> {
    SqliteMaterializer::open(path, schema(1, TABLE, &["add"]))
}

fn add(materializer: &mut SqliteMaterializer, numbers: std::ops::RangeInclusive<u64>) {
    let events: Vec<_> = numbers.map(|number| support::event(number, "add", &number)).collect();
    let base = materializer.head().unwrap();
    let batch = MaterializeBatch {
        base,
        rollback_to: None,
        events: &events,
        settled: Position::ROOT,
        on_failure: OnFailure::Refuse,
    };
    materializer.apply(batch).unwrap();
}

fn count(materializer: &SqliteMaterializer) -> i64 {
    let view: &SqliteView = materializer.view().downcast_ref().unwrap();
    view.query_row("SELECT count(*) FROM t", (), |row| row.get(0)).unwrap()
}

fn assert_storage(path: &Path, reason: &str) {
    match open(path) {
        Err(MaterializeError::Storage(told)) => {
            let told = told.to_string();
            assert!(told.contains(reason) && told.contains(&*path.to_string_lossy()), "{told}");
        }
        other => panic!("instead of {reason:?}: {other:?}"),
    }
}

#[test]
fn garbage_is_corrupt_and_can_be_discarded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    fs::write(&path, vec![0xa5; 10_000]).unwrap();
    assert!(matches!(open(&path), Err(MaterializeError::Corrupt(_))));
    SqliteMaterializer::discard(&path).unwrap();
    assert_eq!(count(&open(&path).unwrap()), 0);
}

#[test]
fn a_truncated_file_is_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    let mut materializer = open(&path).unwrap();
    add(&mut materializer, 1..=5_000);
    drop(materializer);
    let len = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(len / 2).unwrap();
    let result = open(&path);
    assert!(matches!(result, Err(MaterializeError::Corrupt(_))), "{result:?}");
}

#[test]
fn what_belongs_to_somebody_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    assert_storage(directory.path(), "unable to open");
    assert_storage(&directory.path().join("missing/state.sqlite"), "unable to open");
    let path = directory.path().join("other.sqlite");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)")
        .unwrap();
    let before = fs::read(&path).unwrap();
    assert_storage(&path, "another application");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    let first = open(&path).unwrap();
    assert_storage(&path, "locked");
    drop(first);
    open(&path).unwrap();
}

#[test]
fn other_definitions_begin_at_the_root() {
    for (version, table, names) in [
        (2, TABLE, &["add"][..]),
        (1, "CREATE TABLE t (v, w)", &["add"]),
        (1, "CREATE TABLE t (v INTEGER)", &["add"]),
        (1, TABLE, &["other"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.sqlite");
        add(&mut open(&path).unwrap(), 1..=3);
        let changed = || SqliteMaterializer::open(&path, schema(version, table, names)).unwrap();
        let materializer = changed();
        assert_eq!((count(&materializer), materializer.head().unwrap().to_string()), (0, "e0".to_owned()));
        drop(materializer);
        // Interrupted before anything was replayed: still empty, and still of the new definitions.
        assert_eq!(count(&changed()), 0);
    }
}

#[test]
fn a_new_event_alone_costs_no_rebuild() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    add(&mut open(&path).unwrap(), 1..=3);
    let materializer = SqliteMaterializer::open(&path, schema(1, TABLE, &["add", "later"])).unwrap();
    assert_eq!((count(&materializer), materializer.head().unwrap().to_string()), (3, "e3".to_owned()));
    drop(materializer);
    // Going back forgets an event that may have been applied.
    assert_eq!(count(&open(&path).unwrap()), 0);
}
