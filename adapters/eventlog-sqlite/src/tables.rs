//! What is read from and written to the tables, each inside one transaction of the caller or as one statement.

use std::fmt::Write as _;
use std::sync::LazyLock;

use livestore_traits::{
    ArchiveInfo, Event, EventlogError, GoneCommit, Heads, LogCommit, LogCommitKind, Position, ReadLimit,
    SeqNum, SessionId, SessionRecord, Term,
};
use rusqlite::{CachedStatement, Connection, Params, Row, params};

use crate::codec::{self, EVENT_COLUMNS, HEAD_COLUMNS, integer};
use crate::error::failed;

/// Carries out a commit in a transaction that the caller makes durable or drops.
pub(crate) fn write(tx: &Connection, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
    // From the table: another handle may have written since this one last did.
    let before = heads(tx)?;
    let after = commit.check(term, &before, |version| contains(tx, version))?;
    match commit.kind {
        LogCommitKind::Append => {}
        LogCommitKind::Rollback { to } => remove_after(tx, to)?,
        LogCommitKind::Reset { base, reason } => {
            archive(tx, &before, base, &reason)?;
            remove_after(tx, base)?;
        }
    }
    append(tx, &commit.append)?;
    for record in &commit.sessions {
        merge_session(tx, record)?;
    }
    insert_heads(tx, &after)?;
    Ok(after)
}

pub(crate) fn heads(connection: &Connection) -> Result<Heads, EventlogError> {
    static SQL: LazyLock<String> = LazyLock::new(|| format!("SELECT {HEAD_COLUMNS} FROM head"));
    let found = first(&mut prepare(connection, &SQL)?, [], codec::heads)?;
    found.ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows))
}

pub(crate) fn insert_heads(tx: &Connection, heads: &Heads) -> Result<(), EventlogError> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!("INSERT OR REPLACE INTO head (one, {HEAD_COLUMNS}) VALUES (1, {})", placeholders(10))
    });
    let Heads { local, settled, upstream, generation, term, identity } = heads;
    let columns = params![
        local.to_string(),
        settled.to_string(),
        upstream.head.to_string(),
        integer(upstream.cursor.after.0)?,
        upstream.cursor.token.as_deref(),
        upstream.backend_id.as_ref().map(|id| id.as_str()),
        integer(generation.0)?,
        integer(term.0)?,
        identity.as_ref().map(|identity| identity.client_id.as_str()),
        identity.as_ref().map(|identity| identity.secret.0),
    ];
    prepare(tx, &SQL)?.execute(columns).map_err(failed)?;
    Ok(())
}

pub(crate) fn read(
    connection: &Connection,
    after: Position,
    limit: ReadLimit,
) -> Result<Vec<Event>, EventlogError> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {EVENT_COLUMNS} FROM event WHERE (global, client) > (?, ?) ORDER BY global, client LIMIT ?"
        )
    });
    page(&mut prepare(connection, &SQL)?, params![bound(after), after.client, rows(limit)], limit)
}

pub(crate) fn read_archive(
    connection: &Connection,
    id: u64,
    after: Position,
    limit: ReadLimit,
) -> Result<Vec<Event>, EventlogError> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {EVENT_COLUMNS} FROM archived_event WHERE archive = ? AND (global, client) > (?, ?)
             ORDER BY global, client LIMIT ?"
        )
    });
    let Ok(id) = i64::try_from(id) else { return Ok(Vec::new()) };
    page(&mut prepare(connection, &SQL)?, params![id, bound(after), after.client, rows(limit)], limit)
}

/// Generations never fall along a log, so the first event downwards that is old enough is the last one of all.
pub(crate) fn common(connection: &Connection, version: SeqNum) -> Result<SeqNum, EventlogError> {
    const SQL: &str = "SELECT global, client, generation FROM event
        WHERE (global, client) <= (?, ?) AND generation <= ? ORDER BY global DESC, client DESC LIMIT 1";
    let generation = i64::try_from(version.generation.0).unwrap_or(i64::MAX);
    let bounds = params![bound(version.position()), version.client, generation];
    Ok(first(&mut prepare(connection, SQL)?, bounds, codec::num)?.unwrap_or(SeqNum::ROOT))
}

pub(crate) fn session(
    connection: &Connection,
    id: &SessionId,
) -> Result<Option<SessionRecord>, EventlogError> {
    let mut statement = prepare(connection, "SELECT persisted FROM session WHERE session_id = ?")?;
    let Some(persisted) = first(&mut statement, [id.as_str()], |row| codec::number(row, 0))? else {
        return Ok(None);
    };
    let mut statement = prepare(connection, "SELECT n, reason FROM gone WHERE session_id = ? ORDER BY n")?;
    let gone = all(&mut statement, [id.as_str()], |row| {
        Ok(GoneCommit { n: codec::number(row, 0)?, reason: codec::reason(row, 1)? })
    })?;
    Ok(Some(SessionRecord { session_id: id.clone(), persisted, gone }))
}

pub(crate) fn archives(connection: &Connection) -> Result<Vec<ArchiveInfo>, EventlogError> {
    let mut statement =
        prepare(connection, "SELECT id, base, head, backend_id, reason FROM archive ORDER BY id")?;
    all(&mut statement, [], |row| {
        Ok(ArchiveInfo {
            id: codec::number(row, 0)?,
            base: codec::notation(row, 1)?,
            head: codec::notation(row, 2)?,
            backend_id: codec::backend_id(row, 3)?,
            reason: codec::get(row, 4)?,
        })
    })
}

fn contains(tx: &Connection, version: SeqNum) -> Result<bool, EventlogError> {
    const SQL: &str = "SELECT 1 FROM event WHERE global = ? AND client = ? AND generation = ?";
    let Ok(global) = i64::try_from(version.global.0) else { return Ok(false) };
    let Ok(generation) = i64::try_from(version.generation.0) else { return Ok(false) };
    prepare(tx, SQL)?.exists(params![global, version.client, generation]).map_err(failed)
}

fn append(tx: &Connection, events: &[Event]) -> Result<(), EventlogError> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("INSERT INTO event ({EVENT_COLUMNS}) VALUES ({})", placeholders(11)));
    let mut statement = prepare(tx, &SQL)?;
    for event in events {
        let columns = params![
            integer(event.num.global.0)?,
            event.num.client,
            integer(event.num.generation.0)?,
            event.name.as_str(),
            event.args.as_str(),
            event.client_id.as_str(),
            event.session_id.as_str(),
            event.commit.map(|commit| integer(commit.n)).transpose()?,
            event.commit.map(|commit| commit.index),
            event.unit_end,
            event.is_own,
        ];
        statement.execute(columns).map_err(failed)?;
    }
    Ok(())
}

fn remove_after(tx: &Connection, base: SeqNum) -> Result<(), EventlogError> {
    let mut statement = prepare(tx, "DELETE FROM event WHERE (global, client) > (?, ?)")?;
    statement.execute(params![bound(base.position()), base.client]).map_err(failed)?;
    Ok(())
}

/// Copies the events after `base` into an archive of their own.
fn archive(tx: &Connection, heads: &Heads, base: SeqNum, reason: &str) -> Result<(), EventlogError> {
    static COPY: LazyLock<String> = LazyLock::new(|| {
        format!(
            "INSERT INTO archived_event (archive, {EVENT_COLUMNS})
             SELECT ?, {EVENT_COLUMNS} FROM event WHERE (global, client) > (?, ?)"
        )
    });
    const INFO: &str = "INSERT INTO archive (id, base, head, backend_id, reason)
        VALUES ((SELECT count(*) + 1 FROM archive), ?, ?, ?, ?)";
    let backend_id = heads.upstream.backend_id.as_ref().map(|id| id.as_str());
    let id = prepare(tx, INFO)?
        .insert(params![base.to_string(), heads.local.to_string(), backend_id, reason])
        .map_err(failed)?;
    prepare(tx, &COPY)?.execute(params![id, bound(base.position()), base.client]).map_err(failed)?;
    Ok(())
}

/// As [`SessionRecord::merge`], without reading what is already known to be gone.
fn merge_session(tx: &Connection, later: &SessionRecord) -> Result<(), EventlogError> {
    const RAISE: &str = "INSERT INTO session (session_id, persisted) VALUES (?, ?)
        ON CONFLICT (session_id) DO UPDATE SET persisted = max(persisted, excluded.persisted)";
    const ADD: &str = "INSERT OR IGNORE INTO gone (session_id, n, reason) VALUES (?, ?, ?)";
    let id = later.session_id.as_str();
    prepare(tx, RAISE)?.execute(params![id, integer(later.persisted)?]).map_err(failed)?;
    for gone in &later.gone {
        let reason = codec::reason_text(&gone.reason)?;
        prepare(tx, ADD)?.execute(params![id, integer(gone.n)?, reason]).map_err(failed)?;
    }
    Ok(())
}

fn prepare<'c>(connection: &'c Connection, sql: &str) -> Result<CachedStatement<'c>, EventlogError> {
    connection.prepare_cached(sql).map_err(failed)
}

/// A position to compare with. No event is beyond SQLite's integers, so all positions there are alike.
fn bound(position: Position) -> i64 {
    i64::try_from(position.global.0).unwrap_or(i64::MAX)
}

fn rows(limit: ReadLimit) -> i64 {
    i64::try_from(limit.events.get()).unwrap_or(i64::MAX)
}

fn placeholders(count: usize) -> String {
    let mut text = String::from("?");
    for _ in 1..count {
        let _ = write!(text, ", ?");
    }
    text
}

fn page(
    statement: &mut CachedStatement<'_>,
    bounds: impl Params,
    limit: ReadLimit,
) -> Result<Vec<Event>, EventlogError> {
    let mut rows = statement.query(bounds).map_err(failed)?;
    let mut bytes = 0;
    let mut page: Vec<Event> = Vec::new();
    while page.is_empty() || bytes < limit.bytes {
        let Some(row) = rows.next().map_err(failed)? else { break };
        let event = codec::event(row, page.last())?;
        bytes += event.args.len();
        page.push(event);
    }
    Ok(page)
}

fn first<T>(
    statement: &mut CachedStatement<'_>,
    bounds: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, EventlogError>,
) -> Result<Option<T>, EventlogError> {
    let mut rows = statement.query(bounds).map_err(failed)?;
    rows.next().map_err(failed)?.map(read).transpose()
}

fn all<T>(
    statement: &mut CachedStatement<'_>,
    bounds: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, EventlogError>,
) -> Result<Vec<T>, EventlogError> {
    let mut rows = statement.query(bounds).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(read(row)?);
    }
    Ok(found)
}
