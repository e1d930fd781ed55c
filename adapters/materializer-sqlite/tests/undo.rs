//! Applying and undoing is the identity, for random SQL over random schemas with everything that makes undo hard:
//! `REPLACE`, upserts, cascades, users' own triggers, `WITHOUT ROWID`, generated columns, reused rowids,
//! `AUTOINCREMENT`, changed and composite keys, collations, hidden rowids, and names that need quotes.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod support;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use livestore_materializer_sqlite::rusqlite::types::Value;
use livestore_materializer_sqlite::rusqlite::{Connection, MAIN_DB, Row};
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema, SqliteView};
use livestore_traits::{
    Event, EventKind, EventSet, GlobalSeq, MaterializeBatch, Materializer, OnFailure, Position,
    RebaseGeneration, SeqNum,
};
use proptest::prelude::*;

/// Columns that every table has. `u` is unique; `select` and `ro"w` need quotes.
const COLUMNS: [&str; 7] = ["k1", "k2", "a", "b", "u", "\"select\"", "\"ro\"\"w\""];

const CONFLICTS: [&str; 5] = ["", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR ABORT"];
const CONSTRAINT_CONFLICTS: [&str; 4] = ["", "ON CONFLICT REPLACE", "ON CONFLICT IGNORE", "ON CONFLICT FAIL"];
const ACTIONS: [&str; 4] = ["CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION"];
const VALUES: [&str; 14] =
    ["NULL", "0", "1", "2", "3", "-1", "'a'", "'A'", "'b'", "1.5", "'1'", "x'01'", "2.0", "9007199254740993"];

#[derive(Clone, Debug)]
struct Table {
    key: u8,
    key_conflict: u8,
    unique_conflict: u8,
    /// Which of the optional traps it has, one a bit.
    extras: u8,
    /// Parent table, whether the key itself is the child column, `ON DELETE`, `ON UPDATE`.
    foreign_key: Option<(u8, bool, u8, u8)>,
    /// When, on what, what it does, to which table.
    trigger: Option<(bool, u8, u8, u8)>,
}

#[derive(Clone, Debug)]
struct Statement {
    verb: u8,
    table: u8,
    conflict: u8,
    columns: [u8; 3],
    values: [u8; 4],
    condition: Option<(u8, u8)>,
}

#[derive(Clone)]
struct Case {
    tables: Vec<Table>,
    events: Vec<Vec<Statement>>,
    settled: u8,
    rollbacks: Vec<u8>,
}

/// As the SQL that it stands for.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ddl().iter().try_for_each(|sql| writeln!(f, "{sql};"))?;
        for (number, statements) in (1..).zip(&self.events) {
            writeln!(f, "-- e{number}")?;
            statements.iter().try_for_each(|statement| writeln!(f, "{};", self.sql(statement)))?;
        }
        write!(f, "-- settled: {}, rollbacks: {:?}", self.settled, self.rollbacks)
    }
}

fn table() -> impl Strategy<Value = Table> {
    let foreign_key = prop::option::of((0..3_u8, any::<bool>(), 0..4_u8, 0..4_u8));
    let trigger = prop::option::weighted(0.4, (any::<bool>(), 0..3_u8, 0..4_u8, 0..3_u8));
    (0..9_u8, 0..4_u8, 0..4_u8, any::<u8>(), foreign_key, trigger).prop_map(
        |(key, key_conflict, unique_conflict, extras, foreign_key, trigger)| Table {
            key,
            key_conflict,
            unique_conflict,
            extras,
            foreign_key,
            trigger,
        },
    )
}

fn statement() -> impl Strategy<Value = Statement> {
    (
        0..12_u8,
        0..3_u8,
        0..5_u8,
        prop::array::uniform3(0..7_u8),
        prop::array::uniform4(0..14_u8),
        prop::option::of((0..7_u8, 0..14_u8)),
    )
        .prop_map(|(verb, table, conflict, columns, values, condition)| Statement {
            verb,
            table,
            conflict,
            columns,
            values,
            condition,
        })
}

fn case() -> impl Strategy<Value = Case> {
    let events = prop::collection::vec(prop::collection::vec(statement(), 1..6), 2..9);
    (prop::collection::vec(table(), 1..4), events, any::<u8>(), prop::collection::vec(any::<u8>(), 1..4))
        .prop_map(|(tables, events, settled, rollbacks)| Case { tables, events, settled, rollbacks })
}

fn pick<'a>(from: &[&'a str], index: u8) -> &'a str {
    from[usize::from(index) % from.len()]
}

impl Case {
    fn table_name(&self, index: u8) -> String {
        format!("\"t{} order\"", usize::from(index) % self.tables.len())
    }

    fn ddl(&self) -> Vec<String> {
        let mut ddl: Vec<String> = (0..self.tables.len()).map(|index| self.create_table(index)).collect();
        ddl.extend((0..self.tables.len()).filter_map(|index| self.create_trigger(index)));
        ddl
    }

    fn create_table(&self, index: usize) -> String {
        let table = &self.tables[index];
        let key_conflict = pick(&CONSTRAINT_CONFLICTS, table.key_conflict);
        let (k1, k2, constraint, suffix) = match table.key {
            0 => ("INTEGER".to_owned(), "TEXT", String::new(), ""),
            1 => (format!("INTEGER PRIMARY KEY {key_conflict}"), "TEXT", String::new(), ""),
            2 => (format!("INTEGER PRIMARY KEY {key_conflict} AUTOINCREMENT"), "TEXT", String::new(), ""),
            3 => (format!("TEXT COLLATE NOCASE PRIMARY KEY {key_conflict}"), "TEXT", String::new(), ""),
            4 => ("INTEGER".to_owned(), "TEXT", format!(", PRIMARY KEY (k1, k2) {key_conflict}"), ""),
            5 => (format!("PRIMARY KEY {key_conflict}"), "TEXT", String::new(), "WITHOUT ROWID"),
            6 => {
                let constraint = format!(", PRIMARY KEY (k2, k1) {key_conflict}");
                ("INTEGER".to_owned(), "TEXT COLLATE NOCASE", constraint, "WITHOUT ROWID")
            }
            // A historical quirk: this is no alias of the rowid.
            7 => (format!("INTEGER PRIMARY KEY DESC {key_conflict}"), "TEXT", String::new(), ""),
            _ => {
                let constraint = format!(", PRIMARY KEY (k1, k2) {key_conflict}");
                ("TEXT COLLATE RTRIM".to_owned(), "REAL", constraint, "WITHOUT ROWID")
            }
        };
        let mut sql = format!(
            "CREATE TABLE {} (k1 {k1}, k2 {k2}, a INTEGER DEFAULT 1, b TEXT COLLATE NOCASE,
             u NUMERIC UNIQUE {}, \"select\" REAL, \"ro\"\"w\"",
            self.table_name(index as u8),
            pick(&CONSTRAINT_CONFLICTS, table.unique_conflict)
        );
        // With all names of the rowid hidden, the table would be refused.
        let can_hide_all = matches!(table.key, 1 | 2 | 5 | 6 | 8);
        let mut extra = |bit: u8, text: &str| {
            if table.extras & bit != 0 {
                sql.push_str(text);
            }
        };
        extra(1, ", rowid TEXT");
        if can_hide_all {
            extra(2, ", oid INTEGER DEFAULT 7, _rowid_ BLOB");
        }
        extra(4, ", g GENERATED ALWAYS AS (a + 1) VIRTUAL, h TEXT AS (b || u) STORED");
        // What follows are constraints of the table, after all columns.
        extra(8, ", CHECK (a IS NULL OR a < 5)");
        extra(16, ", UNIQUE (a, b)");
        if let Some((parent, is_key, on_delete, on_update)) = table.foreign_key {
            let (child, parent_index) =
                (if is_key { "k1" } else { "a" }, usize::from(parent) % self.tables.len());
            // The parent's column must be unique by itself.
            let column = if matches!(self.tables[parent_index].key, 1 | 2 | 3 | 5 | 7) { "k1" } else { "u" };
            let (parent, on_delete, on_update) =
                (self.table_name(parent), pick(&ACTIONS, on_delete), pick(&ACTIONS, on_update));
            write!(
                sql,
                ", FOREIGN KEY ({child}) REFERENCES {parent} ({column}) ON DELETE {on_delete} ON UPDATE {on_update}"
            )
            .unwrap();
        }
        format!("{sql}{constraint}) {suffix}")
    }

    fn create_trigger(&self, index: usize) -> Option<String> {
        let (is_before, event, body, target) = self.tables[index].trigger?;
        let own = self.table_name(index as u8);
        // Only to later tables, or no chain of triggers would end.
        let later = index + 1 + usize::from(target);
        let target = if later < self.tables.len() { self.table_name(later as u8) } else { own.clone() };
        let (event, row) = [("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")][usize::from(event) % 3];
        let time = if is_before { "BEFORE" } else { "AFTER" };
        let body = match body {
            0 if target != own => {
                format!("INSERT OR REPLACE INTO {target} (k1, k2, u) VALUES ({row}.u, {row}.k2, {row}.a)")
            }
            1 if target != own => format!("UPDATE {target} SET a = a + 1, k1 = {row}.k1 WHERE u = {row}.u"),
            2 if target != own => format!("DELETE FROM {target} WHERE a = {row}.a"),
            _ => format!("UPDATE {own} SET b = 'touched' WHERE k1 = {row}.k1 AND b IS NOT 'touched'"),
        };
        // Without the condition a trigger before an update would call itself until SQLite stops it.
        Some(format!(
            "CREATE TRIGGER \"on {index}\" {time} {event} ON {own} WHEN {row}.b IS NOT 'touched' BEGIN {body}; END"
        ))
    }

    fn sql(&self, statement: &Statement) -> String {
        let table = self.table_name(statement.table);
        let other = self.table_name(statement.table + 1);
        let conflict = pick(&CONFLICTS, statement.conflict);
        let [c0, c1, c2] = statement.columns.map(|column| pick(&COLUMNS, column));
        let [v0, v1, v2, v3] = statement.values.map(|value| pick(&VALUES, value));
        let condition = match statement.condition {
            Some((column, value)) => format!("WHERE {} = {}", pick(&COLUMNS, column), pick(&VALUES, value)),
            None => String::new(),
        };
        match statement.verb {
            0..=2 => format!("INSERT {conflict} INTO {table} (k1, k2, {c2}) VALUES ({v0}, {v1}, {v2})"),
            3 => format!(
                "INSERT {conflict} INTO {table} (k1, k2, u) VALUES ({v0}, {v1}, {v2}), ({v3}, {v1}, {v0})"
            ),
            4 => format!("INSERT {conflict} INTO {table} (k2, u, a) VALUES ({v0}, {v1}, {v2})"),
            5 => format!(
                "INSERT INTO {table} (k1, k2, u) VALUES ({v0}, {v1}, {v2}) ON CONFLICT DO UPDATE SET {c0} = {v3}, {c1} = excluded.{c2}"
            ),
            6 => format!("INSERT INTO {table} (k1, k2, u) VALUES ({v0}, {v1}, {v2}) ON CONFLICT DO NOTHING"),
            7 => format!("UPDATE {conflict} {table} SET {c0} = {v0}, {c1} = {v1} {condition}"),
            8 => format!("UPDATE {conflict} {table} SET {c0} = {c0} + 1 {condition}"),
            9 => format!("UPDATE {conflict} {table} SET rowid = {v0} {condition}"),
            10 => format!("DELETE FROM {table} {condition}"),
            _ => format!(
                "INSERT {conflict} INTO {table} (k1, k2, {c2}) SELECT {c0}, {c1}, u FROM {other} {condition}"
            ),
        }
    }

    fn history(&self) -> History {
        let text =
            |statements: &Vec<Statement>| statements.iter().map(|statement| self.sql(statement)).collect();
        let last = self.events.len();
        let settled = usize::from(self.settled) % last;
        History {
            ddl: self.ddl(),
            events: self.events.iter().map(text).collect(),
            settled,
            rollbacks: self
                .rollbacks
                .iter()
                .map(|to| settled + usize::from(*to) % (last - settled + 1))
                .collect(),
        }
    }
}

/// A schema, the statements of each event, how many events settle at once, and where to roll back to.
struct History {
    ddl: Vec<String>,
    events: Vec<Vec<String>>,
    settled: usize,
    rollbacks: Vec<usize>,
}

impl History {
    fn schema(&self) -> SqliteSchema {
        let events = EventSet::builder().named("sql", EventKind::Synced).build().unwrap();
        let builder = SqliteSchema::builder(events).on_raw("sql", |state, args, _cx| {
            for sql in args.to_value::<Vec<String>>()? {
                // A statement that fails may have changed something, with `OR FAIL`; the next one goes on.
                let _ = state.execute(&sql, ());
            }
            Ok(())
        });
        self.ddl.iter().fold(builder, |builder, sql| builder.table(sql)).build().unwrap()
    }
}

/// Everything in the database but the books: all rows with rowids and the types of their values, and the counters.
fn dump(materializer: &SqliteMaterializer) -> BTreeMap<String, Vec<String>> {
    let view: &SqliteView = materializer.view().downcast_ref().unwrap();
    let tables: Vec<(String, bool)> = view
        .query_map(
            "SELECT name, sql LIKE '%WITHOUT ROWID' FROM sqlite_schema
             WHERE type = 'table' AND name NOT LIKE 'livestore\\_%' ESCAPE '\\' ORDER BY name",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let mut dump = BTreeMap::new();
    for (table, without_rowid) in tables {
        let has_free_rowid =
            !without_rowid && view.prepare(&format!("SELECT *, _rowid_ FROM \"{table}\"")).is_ok();
        let rowid = if has_free_rowid && table != "sqlite_sequence" { ", _rowid_, rowid, oid" } else { "" };
        let sql = format!("SELECT *{rowid} FROM \"{table}\"");
        let mut rows: Vec<String> = view
            .query_map(&sql, (), |row: &Row<'_>| {
                let values = (0..row.as_ref().column_count()).map(|i| row.get::<_, Value>(i));
                let values = values.collect::<Result<Vec<_>, _>>()?;
                Ok(format!("{values:?}"))
            })
            .unwrap();
        rows.sort();
        dump.insert(table, rows);
    }
    dump
}

fn batch<'a>(materializer: &SqliteMaterializer, events: &'a [Event], settled: u64) -> MaterializeBatch<'a> {
    MaterializeBatch {
        base: materializer.head().unwrap(),
        rollback_to: None,
        events,
        settled: Position::synced(GlobalSeq(settled)),
        on_failure: OnFailure::Quarantine,
    }
}

fn synced(number: usize) -> SeqNum {
    SeqNum::new(Position::synced(GlobalSeq(number as u64)), RebaseGeneration(0))
}

/// What SQLite itself thinks of the state.
fn check_integrity(materializer: &SqliteMaterializer) {
    let mut bytes = Vec::new();
    materializer.snapshot().unwrap().bytes.read_to_end(&mut bytes).unwrap();
    let header = bytes.len() % 4096;
    let image = &bytes[header..];
    let mut connection = Connection::open_in_memory().unwrap();
    connection.deserialize_read_exact(MAIN_DB, image, image.len(), true).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    // No check of foreign keys: SQLite lets upserts break those that lead from a table to itself.
}

fn check(history: &History) {
    let schema = history.schema();
    let events: Vec<Event> =
        (1..).zip(&history.events).map(|(number, list)| support::event(number, "sql", list)).collect();
    let (last, settled) = (events.len(), history.settled);

    let mut materializer = SqliteMaterializer::in_memory(schema.clone()).unwrap();
    let mut dumps = vec![dump(&materializer)];
    for event in &events {
        let applied =
            materializer.apply(batch(&materializer, std::slice::from_ref(event), settled as u64)).unwrap();
        assert_eq!(applied.quarantined, []);
        dumps.push(dump(&materializer));
        let (before, after) = (&dumps[dumps.len() - 2], &dumps[dumps.len() - 1]);
        for (table, rows) in after.iter().filter(|(table, _)| *table != "sqlite_sequence") {
            let is_told = applied.changed.contains(table.as_str());
            assert!(is_told || before[table] == *rows, "{table} changed and {:?} was told", applied.changed);
        }
    }
    for &target in &history.rollbacks {
        let undo = MaterializeBatch {
            rollback_to: Some(synced(target)),
            ..batch(&materializer, &[], settled as u64)
        };
        materializer.apply(undo).unwrap();
        assert_eq!(dump(&materializer), dumps[target], "undone to e{target}");
        materializer.apply(batch(&materializer, &events[target..], settled as u64)).unwrap();
        assert_eq!(dump(&materializer), dumps[last], "applied again from e{target}");
    }
    check_integrity(&materializer);

    let mut replayed = SqliteMaterializer::in_memory(schema).unwrap();
    replayed.apply(batch(&replayed, &events, last as u64)).unwrap();
    assert_eq!(dump(&replayed), dumps[last], "replayed without undo data");
}

/// One history by hand: everything is applied after the first event settled, and rolled back to each event.
fn check_sql(ddl: &[&str], events: &[&[&str]]) {
    let owned = |list: &[&str]| list.iter().map(|sql| (*sql).to_owned()).collect();
    check(&History {
        ddl: owned(ddl),
        events: events.iter().map(|list| owned(list)).collect(),
        settled: 1,
        rollbacks: (1..=events.len()).rev().collect(),
    });
}

#[test]
fn equal_keys_of_different_types_are_one_row() {
    check_sql(
        &["CREATE TABLE t (k PRIMARY KEY ON CONFLICT REPLACE, v) WITHOUT ROWID"],
        &[
            &["INSERT INTO t VALUES (1, 'a'), (3, 'b')"],
            &["INSERT INTO t VALUES (2, 'c'), (2.0, 'd')"],
            &["UPDATE t SET k = k + 1"],
            &["UPDATE t SET k = k + 1.0"],
        ],
    );
}

/// SQLite does not count what a trigger changed before its statement failed.
#[test]
fn what_triggers_changed_before_a_failure_is_told() {
    check_sql(
        &[
            "CREATE TABLE t (k INTEGER, l TEXT, b TEXT, PRIMARY KEY (l, k)) WITHOUT ROWID",
            "CREATE TRIGGER touch BEFORE UPDATE ON t WHEN NEW.b IS NOT 'touched' BEGIN
             UPDATE t SET b = 'touched' WHERE k = NEW.k AND b IS NOT 'touched'; END",
        ],
        &[&["INSERT INTO t (k, l) VALUES (3, 'a'), (3, 'b')"], &["UPDATE OR FAIL t SET l = NULL"]],
    );
}

proptest! {
    // Failures are fixed, not collected: what was found is a case of its own above.
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn apply_then_undo_is_the_identity(case in case()) {
        check(&case.history());
    }
}
