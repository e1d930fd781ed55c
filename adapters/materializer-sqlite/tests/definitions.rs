//! What schemas, materializers and views may not do, and when they are told.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod support;

use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema, SqliteSchemaBuilder, SqliteView};
use livestore_traits::{
    Applied, Event, EventKind, EventSet, MaterializeBatch, MaterializeError, Materializer, OnFailure,
    Position,
};

/// A schema whose one event runs the SQL that it carries.
fn builder() -> SqliteSchemaBuilder {
    let events = EventSet::builder().named("sql", EventKind::Synced).build().unwrap();
    SqliteSchema::builder(events).on_raw("sql", |state, args, _cx| {
        args.to_value::<Vec<String>>()?.iter().try_for_each(|sql| state.execute(sql, ()).map(drop))?;
        Ok(())
    })
}

fn apply(
    materializer: &mut SqliteMaterializer,
    events: &[Event],
    on_failure: OnFailure,
) -> Result<Applied, MaterializeError> {
    let base = materializer.head().unwrap();
    materializer.apply(MaterializeBatch {
        base,
        rollback_to: None,
        events,
        settled: Position::ROOT,
        on_failure,
    })
}

fn values(materializer: &SqliteMaterializer) -> Vec<i64> {
    let view: &SqliteView = materializer.view().downcast_ref().unwrap();
    view.query_map("SELECT v FROM t ORDER BY v", (), |row| row.get(0)).unwrap()
}

/// It was all of the tables' SQL, too long for the requests of sessions to leaders in other processes.
#[test]
fn a_fingerprint_is_short_and_tells_schemas_apart() {
    let of = |columns: usize, version: u32| {
        let columns: Vec<String> = (0..columns).map(|n| format!("column_with_a_long_name_{n:04}")).collect();
        let tables = (0..10).map(|n| format!("CREATE TABLE t{n} ({})", columns.join(", ")));
        let builder = tables.fold(builder(), |builder, sql| builder.table(sql));
        builder.version(version).build().unwrap().fingerprint()
    };
    assert!(of(400, 0).len() < 100, "{}", of(400, 0));
    assert_eq!(of(400, 0), of(400, 0));
    assert_ne!(of(400, 0), of(401, 0));
    assert_ne!(of(400, 0), of(400, 1));
}

#[test]
fn tables_that_cannot_be_undone_are_refused() {
    for (sql, reason) in [
        ("CREATE VIRTUAL TABLE t USING fts5(a)", "virtual table"),
        ("CREATE TEMP TABLE t (a)", "temporary"),
        ("CREATE TEMP VIEW t AS SELECT 1", "temporary"),
        ("CREATE TABLE livestore_t (a)", "reserved"),
        ("CREATE TABLE LiveStore_t (a)", "reserved"),
        ("CREATE TABLE t (a); INSERT INTO t VALUES (1)", "write rows"),
        ("DROP TABLE t", "no such table"),
        ("PRAGMA foreign_keys = OFF", "PRAGMA"),
        ("ATTACH ':memory:' AS other", "attach"),
        ("BEGIN", "transactions"),
        ("CREATE TABLE t (a", "incomplete input"),
        ("CREATE TABLE t (a REFERENCES t DEFERRABLE INITIALLY DEFERRED)", "deferred"),
        ("CREATE TABLE t (a UNIQUE ON CONFLICT ROLLBACK)", "ROLLBACK"),
        ("CREATE TABLE t (a DEFAULT CURRENT_TIMESTAMP)", "differ between replicas"),
        ("CREATE TABLE t (a DEFAULT (random()))", "differ between replicas"),
        ("CREATE TABLE t (rowid, _rowid_, oid)", "rowid"),
    ] {
        match builder().table(sql).build() {
            Err(MaterializeError::Definition(told)) => assert!(told.contains(reason), "{sql}: {told}"),
            other => panic!("{sql} was answered with {other:?}"),
        }
    }
}

#[test]
fn wrong_declarations_are_found_at_start_up() {
    let events =
        EventSet::builder().named("a", EventKind::Synced).named("b", EventKind::Synced).build().unwrap();
    let only_a = || SqliteSchema::builder(events.clone()).on_raw("a", |_, _, _| Ok(()));
    for (builder, reason) in [
        (only_a(), "b has no materializer"),
        (only_a().on_raw("b", |_, _, _| Ok(())).on_raw("a", |_, _, _| Ok(())), "a has two materializers"),
        (only_a().on_raw("c", |_, _, _| Ok(())), "a materializer is given for c, which is not declared"),
    ] {
        match builder.build() {
            Err(MaterializeError::Definition(told)) => assert_eq!(told, reason),
            other => panic!("instead of {reason:?}: {other:?}"),
        }
    }
}

#[test]
fn materializers_may_only_read_and_write_rows() {
    let mut materializer =
        SqliteMaterializer::in_memory(builder().table("CREATE TABLE t (v)").build().unwrap()).unwrap();
    for sql in [
        "CREATE TABLE other (a)",
        "ALTER TABLE t ADD COLUMN w",
        "DROP TABLE t",
        "CREATE INDEX i ON t (v)",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "PRAGMA recursive_triggers = OFF",
        "ATTACH ':memory:' AS other",
        "VACUUM",
        "ANALYZE",
        "DELETE FROM livestore_heads",
        "DELETE FROM livestore_undo_t",
        "DELETE FROM sqlite_sequence",
        "INSERT INTO t VALUES (random())",
        "INSERT INTO t VALUES (CURRENT_TIMESTAMP)",
        "INSERT INTO t VALUES (livestore_undo_id())",
        "INSERT INTO t SELECT global FROM livestore_heads",
    ] {
        let event = support::event(1, "sql", &["INSERT INTO t VALUES (1)", sql]);
        let result = apply(&mut materializer, &[event], OnFailure::Refuse);
        assert!(matches!(result, Err(MaterializeError::Event { .. })), "{sql} was answered with {result:?}");
        assert_eq!(values(&materializer), [] as [i64; 0], "{sql} left something");
    }
    let event = support::event(1, "sql", &["INSERT INTO t VALUES (1)"]);
    apply(&mut materializer, &[event], OnFailure::Refuse).unwrap();
    assert_eq!(values(&materializer), [1]);
}

/// `OR ROLLBACK` ends the transaction of the whole batch, with the effects of the events before it.
#[test]
fn a_statement_that_ends_the_transaction_fails_only_its_event() {
    let schema = builder().table("CREATE TABLE t (v UNIQUE)").build().unwrap();
    let mut materializer = SqliteMaterializer::in_memory(schema).unwrap();
    let sql = [
        "INSERT INTO t VALUES (1)",
        "INSERT OR ROLLBACK INTO t VALUES (1)",
        "INSERT INTO t VALUES (2)",
        "INSERT INTO t VALUES (2)",
        "INSERT OR ROLLBACK INTO t VALUES (2)",
        "INSERT INTO t VALUES (3)",
    ];
    let events: Vec<Event> =
        (1..).zip(sql).map(|(number, sql)| support::event(number, "sql", &[sql])).collect();
    assert!(apply(&mut materializer, &events, OnFailure::Refuse).is_err());
    assert_eq!(values(&materializer), [] as [i64; 0]);
    let applied = apply(&mut materializer, &events, OnFailure::Quarantine).unwrap();
    let failed: Vec<String> = applied.quarantined.iter().map(|event| event.num.to_string()).collect();
    assert_eq!(
        (failed.as_slice(), values(&materializer)),
        (["e2", "e4", "e5"].map(str::to_owned).as_slice(), vec![1, 2, 3])
    );
}

#[test]
fn views_only_read() {
    let schema = builder().table("CREATE TABLE t (v)").build().unwrap();
    let mut materializer = SqliteMaterializer::in_memory(schema).unwrap();
    let insert = "INSERT INTO t VALUES (1)";
    apply(&mut materializer, &[support::event(1, "sql", &[insert])], OnFailure::Refuse).unwrap();
    let view: &SqliteView = materializer.view().downcast_ref().unwrap();
    // The first one is also compiled for the materializer, and kept.
    for sql in
        [insert, "DELETE FROM t", "CREATE TABLE other (a)", "BEGIN", "PRAGMA user_version = 9", "DETACH main"]
    {
        assert!(view.query_map(sql, (), |_| Ok(())).is_err(), "{sql} was run");
    }
    assert_eq!(values(&materializer), [1]);
}

#[test]
fn a_panic_leaves_no_half_change_behind() {
    let events = EventSet::builder().named("panic", EventKind::Synced).build().unwrap();
    let schema =
        SqliteSchema::builder(events).table("CREATE TABLE t (v)").on_raw("panic", |state, args, _cx| {
            state.execute("INSERT INTO t VALUES (1)", ())?;
            assert!(args.to_value::<bool>()?, "the materializer panics");
            Ok(())
        });
    let mut materializer = SqliteMaterializer::in_memory(schema.build().unwrap()).unwrap();
    let panics = std::panic::AssertUnwindSafe(|| {
        apply(&mut materializer, &[support::event(1, "panic", &false)], OnFailure::Quarantine)
    });
    std::panic::catch_unwind(panics).expect_err("the materializer panics");
    assert_eq!((values(&materializer), materializer.head().unwrap().to_string()), (vec![], "e0".to_owned()));
    apply(&mut materializer, &[support::event(1, "panic", &true)], OnFailure::Quarantine).unwrap();
    assert_eq!(values(&materializer), [1]);
}
