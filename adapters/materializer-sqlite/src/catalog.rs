//! Reads what a schema created, and refuses what could not be undone or would differ between replicas.

use rusqlite::{Connection, Error};

/// A user table, as far as undo must know it.
#[derive(Debug)]
pub(crate) struct Table {
    pub name: String,
    /// What identifies a row: the rowid, or the columns of the primary key of a table `WITHOUT ROWID`.
    pub key: Vec<KeyColumn>,
    /// The other stored columns. Generated columns are not among them: they come back by themselves.
    pub columns: Vec<String>,
}

/// A part of what identifies a row.
#[derive(Debug)]
pub(crate) struct KeyColumn {
    /// Ready for use in SQL: quoted, or one of the rowid's names.
    pub sql: String,
    /// How SQLite compares it: rows that differ only otherwise are one row.
    pub collation: String,
}

/// All of a schema, as far as undo must know it.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub tables: Vec<Table>,
    /// Whether the schema has triggers or foreign keys, which must rest while rows are put back.
    pub has_reactions: bool,
    /// Whether a table is `AUTOINCREMENT`.
    pub has_sequences: bool,
}

/// `name` as an SQL identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Catalog {
    /// Reads the schema of `connection`.
    pub(crate) fn read(connection: &Connection) -> Result<Self, String> {
        let fail = |error: Error| format!("the schema cannot be read: {error}");
        let names = query(
            connection,
            "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(fail)?;
        let tables = names
            .into_iter()
            .map(|(name, without_rowid)| Table::read(connection, name, without_rowid))
            .collect::<Result<_, _>>()?;
        let count = |sql| connection.query_row(sql, (), |row| row.get::<_, bool>(0)).map_err(fail);
        Ok(Self {
            tables,
            has_reactions: count(
                "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger')
                     OR EXISTS (SELECT 1 FROM sqlite_schema AS t, pragma_foreign_key_list(t.name) WHERE t.type = 'table')",
            )?,
            has_sequences: count("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence')")?,
        })
    }
}

struct Column {
    name: String,
    default: Option<String>,
    is_key: bool,
    is_stored: bool,
}

impl Table {
    fn read(connection: &Connection, name: String, without_rowid: bool) -> Result<Self, String> {
        let fail = |error: Error| format!("the table {name} cannot be read: {error}");
        let columns = query(
            connection,
            "SELECT name, dflt_value, pk > 0, hidden = 0 FROM pragma_table_xinfo(?1) ORDER BY cid",
            [&name],
            |row| {
                Ok(Column {
                    name: row.get(0)?,
                    default: row.get(1)?,
                    is_key: row.get(2)?,
                    is_stored: row.get(3)?,
                })
            },
        )
        .map_err(fail)?;
        for column in &columns {
            check_default(&name, column)?;
        }
        let key_index = query(
            connection,
            "SELECT x.name, x.coll FROM pragma_index_list(?1) AS l, pragma_index_xinfo(l.name) AS x
             WHERE l.origin = 'pk' AND x.key ORDER BY x.seqno",
            [&name],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )
        .map_err(fail)?;

        let stored = |is_in_key: &dyn Fn(&Column) -> bool| -> Vec<String> {
            columns.iter().filter(|c| c.is_stored && !is_in_key(c)).map(|c| c.name.clone()).collect()
        };
        if without_rowid {
            let columns = stored(&|column| column.is_key);
            let key = key_index
                .into_iter()
                .map(|(column, collation)| KeyColumn { sql: quote(&column), collation })
                .collect();
            return Ok(Self { key, columns, name });
        }
        // A primary key without an index is the rowid itself.
        let alias = columns.iter().find(|column| column.is_key && key_index.is_empty());
        let sql = match alias {
            Some(column) => quote(&column.name),
            None => free_rowid_name(&name, &columns)?.to_owned(),
        };
        let columns = stored(&|column| column.is_key && key_index.is_empty());
        Ok(Self { key: vec![KeyColumn { sql, collation: "BINARY".to_owned() }], columns, name })
    }
}

/// The rowid has three names; a column may hide each of them.
fn free_rowid_name(table: &str, columns: &[Column]) -> Result<&'static str, String> {
    ["rowid", "_rowid_", "oid"]
        .into_iter()
        .find(|name| !columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)))
        .ok_or_else(|| format!("the columns of {table} hide every name of its rowid; rename one, or declare an INTEGER PRIMARY KEY"))
}

fn check_default(table: &str, column: &Column) -> Result<(), String> {
    const NOT_DETERMINISTIC: [&str; 11] = [
        "current_time",
        "current_date",
        "current_timestamp",
        "random",
        "randomblob",
        "date",
        "time",
        "datetime",
        "julianday",
        "unixepoch",
        "strftime",
    ];
    let Some(default) = &column.default else { return Ok(()) };
    match words(default).into_iter().find(|word| NOT_DETERMINISTIC.contains(&word.as_str())) {
        Some(word) => Err(format!(
            "the default of {table}.{} uses {word}, which would differ between replicas; put the value into the event",
            column.name
        )),
        None => Ok(()),
    }
}

/// Refuses what only the text of a definition tells.
pub(crate) fn check_text(sql: &str) -> Result<(), String> {
    for word in words(sql) {
        match word.as_str() {
            // They are checked when the transaction ends, so whether an event fails would depend on its neighbours.
            "deferred" => return Err("deferred foreign keys cannot be checked for each event".to_owned()),
            "rollback" => {
                return Err(
                    "ROLLBACK in a constraint or trigger would take back other events; use ABORT".to_owned()
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// The bare words of `sql` in lower case, without what is quoted or commented out.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let skip_past =
            |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
        let len = match first {
            '\'' | '"' | '`' => skip_past(first.encode_utf8(&mut [0; 4]), 1),
            '[' => skip_past("]", 1),
            '-' if rest.starts_with("--") => skip_past("\n", 2),
            '/' if rest.starts_with("/*") => skip_past("*/", 2),
            _ if first.is_alphanumeric() || first == '_' => {
                let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                words.push(rest[..len].to_ascii_lowercase());
                len
            }
            _ => first.len_utf8(),
        };
        rest = &rest[len..];
    }
    words
}

fn query<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    connection.prepare(sql)?.query_map(params, read)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_skip_what_is_quoted_or_commented_out() {
        let sql = "CREATE TABLE \"deferred\" ('rollback' [rollback], `x``deferred`, a_1) -- deferred\n/* rollback */ END";
        assert_eq!(words(sql), ["create", "table", "a_1", "end"]);
    }
}
