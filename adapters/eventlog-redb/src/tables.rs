//! The tables of a log and what is read from and written to them inside a transaction.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `meta` | `format`, `heads` | a byte; heads |
//! | `events` | global, client | event |
//! | `sessions` | session id | persisted |
//! | `gone` | session id, n | reason |
//! | `archives` | id | archive |
//! | `archived_events` | archive id, global, client | event |

use std::ops::Bound::{Excluded, Included, Unbounded};

use livestore_traits::{
    ArchiveInfo, Event, EventlogError, GlobalSeq, GoneCommit, Heads, LogCommit, LogCommitKind, Position,
    ReadLimit, SeqNum, SessionId, SessionRecord, Term,
};
use redb::{
    AccessGuard, Key, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    TableHandle, WriteTransaction,
};

use crate::codec::{self, FORMAT};
use crate::error::{corrupt, failed};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const EVENTS: TableDefinition<'_, Place, &[u8]> = TableDefinition::new("events");
const SESSIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("sessions");
const GONE: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("gone");
const ARCHIVES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("archives");
const ARCHIVED_EVENTS: TableDefinition<'_, ArchivedPlace, &[u8]> = TableDefinition::new("archived_events");

const FORMAT_KEY: &str = "format";
const HEADS_KEY: &str = "heads";

/// Global and client number.
type Place = (u64, u32);
/// Archive id, global and client number.
type ArchivedPlace = (u64, u64, u32);

const fn place(position: Position) -> Place {
    (position.global.0, position.client)
}

const fn position((global, client): Place) -> Position {
    Position { global: GlobalSeq(global), client }
}

/// Makes the tables of a new log and returns true, or checks that those of another log can be read.
pub(crate) fn prepare(tx: &WriteTransaction) -> Result<bool, EventlogError> {
    let names: Vec<String> = tx.list_tables().map_err(failed)?.map(|table| table.name().to_owned()).collect();
    let is_new = names.is_empty();
    if !is_new && !names.iter().any(|name| name == META.name()) {
        return Err(corrupt("the redb file is not an eventlog"));
    }
    let mut meta = tx.open_table(META).map_err(failed)?;
    if is_new {
        meta.insert(FORMAT_KEY, &[FORMAT][..]).map_err(failed)?;
        meta.insert(HEADS_KEY, &codec::encode(&Heads::default())?[..]).map_err(failed)?;
    }
    check_format(&meta)?;
    heads_in(&meta)?;
    tx.open_table(EVENTS).map_err(failed)?;
    tx.open_table(SESSIONS).map_err(failed)?;
    tx.open_table(GONE).map_err(failed)?;
    tx.open_table(ARCHIVES).map_err(failed)?;
    tx.open_table(ARCHIVED_EVENTS).map_err(failed)?;
    Ok(is_new)
}

fn check_format(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<(), EventlogError> {
    match meta.get(FORMAT_KEY).map_err(failed)?.as_ref().map(AccessGuard::value) {
        Some([FORMAT]) => Ok(()),
        Some(other) => Err(corrupt(format!("an eventlog of format {other:?}, only {FORMAT} can be read"))),
        None => Err(corrupt("the redb file is not an eventlog")),
    }
}

/// Carries out a commit in a transaction that the caller makes durable or drops.
pub(crate) fn write(tx: &WriteTransaction, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
    let mut meta = tx.open_table(META).map_err(failed)?;
    let mut events = tx.open_table(EVENTS).map_err(failed)?;
    // From the table: another handle may have written since this one last did.
    let before = heads_in(&meta)?;
    let heads = commit.check(term, &before, |version| contains(&events, version))?;
    match commit.kind {
        LogCommitKind::Append => {}
        LogCommitKind::Rollback { to } => remove_after(&mut events, to)?,
        LogCommitKind::Reset { base, reason } => {
            archive(tx, &events, &before, base, reason)?;
            remove_after(&mut events, base)?;
        }
    }
    for event in &commit.append {
        events.insert(place(event.num.position()), &codec::encode_event(event)?[..]).map_err(failed)?;
    }
    for record in &commit.sessions {
        merge_session(tx, record)?;
    }
    meta.insert(HEADS_KEY, &codec::encode(&heads)?[..]).map_err(failed)?;
    Ok(heads)
}

pub(crate) fn heads(tx: &ReadTransaction) -> Result<Heads, EventlogError> {
    heads_in(&tx.open_table(META).map_err(failed)?)
}

pub(crate) fn read(
    tx: &ReadTransaction,
    after: Position,
    limit: ReadLimit,
) -> Result<Vec<Event>, EventlogError> {
    let events = tx.open_table(EVENTS).map_err(failed)?;
    page(events.range((Excluded(place(after)), Unbounded)).map_err(failed)?, position, limit)
}

pub(crate) fn read_archive(
    tx: &ReadTransaction,
    id: u64,
    after: Position,
    limit: ReadLimit,
) -> Result<Vec<Event>, EventlogError> {
    let events = tx.open_table(ARCHIVED_EVENTS).map_err(failed)?;
    let (global, client) = place(after);
    let range = (Excluded((id, global, client)), Included((id, u64::MAX, u32::MAX)));
    page(events.range(range).map_err(failed)?, |(_, global, client)| position((global, client)), limit)
}

/// Generations never fall along a log, so the first event downwards that is old enough is the last one of all.
pub(crate) fn common(tx: &ReadTransaction, version: SeqNum) -> Result<SeqNum, EventlogError> {
    let events = tx.open_table(EVENTS).map_err(failed)?;
    for row in events.range(..=place(version.position())).map_err(failed)?.rev() {
        let (key, value) = row.map_err(failed)?;
        let generation = codec::decode_generation(value.value())?;
        if generation <= version.generation {
            return Ok(SeqNum::new(position(key.value()), generation));
        }
    }
    Ok(SeqNum::ROOT)
}

pub(crate) fn session(tx: &ReadTransaction, id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
    let sessions = tx.open_table(SESSIONS).map_err(failed)?;
    let Some(persisted) = sessions.get(id.as_str()).map_err(failed)? else {
        return Ok(None);
    };
    let gone = tx.open_table(GONE).map_err(failed)?;
    let gone = gone
        .range((id.as_str(), 0)..=(id.as_str(), u64::MAX))
        .map_err(failed)?
        .map(|row| {
            let (key, reason) = row.map_err(failed)?;
            Ok(GoneCommit { n: key.value().1, reason: codec::decode(reason.value())? })
        })
        .collect::<Result<_, EventlogError>>()?;
    Ok(Some(SessionRecord { session_id: id.clone(), persisted: persisted.value(), gone }))
}

pub(crate) fn archives(tx: &ReadTransaction) -> Result<Vec<ArchiveInfo>, EventlogError> {
    let archives = tx.open_table(ARCHIVES).map_err(failed)?;
    let rows = archives.iter().map_err(failed)?;
    rows.map(|row| codec::decode(row.map_err(failed)?.1.value())).collect()
}

fn heads_in(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Heads, EventlogError> {
    let heads = meta.get(HEADS_KEY).map_err(failed)?;
    codec::decode(heads.ok_or_else(|| corrupt("the heads are missing"))?.value())
}

fn contains(
    events: &impl ReadableTable<Place, &'static [u8]>,
    version: SeqNum,
) -> Result<bool, EventlogError> {
    let Some(event) = events.get(place(version.position())).map_err(failed)? else {
        return Ok(false);
    };
    Ok(codec::decode_generation(event.value())? == version.generation)
}

fn page<K: Key + 'static>(
    rows: redb::Range<'_, K, &'static [u8]>,
    position: impl for<'k> Fn(K::SelfType<'k>) -> Position,
    limit: ReadLimit,
) -> Result<Vec<Event>, EventlogError> {
    let mut bytes = 0;
    let mut page: Vec<Event> = Vec::new();
    for row in rows.take(limit.events.get()) {
        if !page.is_empty() && bytes >= limit.bytes {
            break;
        }
        let (key, value) = row.map_err(failed)?;
        let event = codec::decode_event(position(key.value()), value.value(), page.last())?;
        bytes += event.args.len();
        page.push(event);
    }
    Ok(page)
}

fn remove_after(events: &mut Table<'_, Place, &'static [u8]>, base: SeqNum) -> Result<(), EventlogError> {
    events.retain_in((Excluded(place(base.position())), Unbounded), |_, _| false).map_err(failed)
}

/// Copies the events after `base` into an archive of their own.
fn archive(
    tx: &WriteTransaction,
    events: &Table<'_, Place, &'static [u8]>,
    heads: &Heads,
    base: SeqNum,
    reason: String,
) -> Result<(), EventlogError> {
    let mut archives = tx.open_table(ARCHIVES).map_err(failed)?;
    let id = archives.len().map_err(failed)? + 1;
    let backend_id = heads.upstream.backend_id.clone();
    let info = ArchiveInfo { id, base, head: heads.local, backend_id, reason };
    archives.insert(id, &codec::encode(&info)?[..]).map_err(failed)?;
    let mut archived = tx.open_table(ARCHIVED_EVENTS).map_err(failed)?;
    for row in events.range((Excluded(place(base.position())), Unbounded)).map_err(failed)? {
        let (key, value) = row.map_err(failed)?;
        let (global, client) = key.value();
        archived.insert((id, global, client), value.value()).map_err(failed)?;
    }
    Ok(())
}

/// As [`SessionRecord::merge`], without reading what is already known to be gone.
fn merge_session(tx: &WriteTransaction, later: &SessionRecord) -> Result<(), EventlogError> {
    let id = later.session_id.as_str();
    let mut sessions = tx.open_table(SESSIONS).map_err(failed)?;
    let known = sessions.get(id).map_err(failed)?.map_or(0, |persisted| persisted.value());
    sessions.insert(id, known.max(later.persisted)).map_err(failed)?;
    if later.gone.is_empty() {
        return Ok(());
    }
    let mut table = tx.open_table(GONE).map_err(failed)?;
    for gone in &later.gone {
        if table.get((id, gone.n)).map_err(failed)?.is_none() {
            table.insert((id, gone.n), &codec::encode(&gone.reason)?[..]).map_err(failed)?;
        }
    }
    Ok(())
}
