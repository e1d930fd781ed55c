//! How an event is a row. 64-bit numbers keep their bits: SQLite's integers are signed, ours are not.

use bytes::Bytes;
use livestore_backend_log::{Recall, Tag};
use livestore_traits::{Args, BoxError, CommitRef, GlobalSeq, SyncedEvent, UnixMillis};
use rusqlite::{Row, Statement};

macro_rules! columns {
    () => {
        "log, seq, tag, created_at, name, client_id, session_id, commit_n, commit_index, unit_end, args"
    };
}

macro_rules! insert_into {
    ($table:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (",
            columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        )
    };
}

macro_rules! select_from {
    ($table:literal) => {
        concat!("SELECT ", columns!(), " FROM ", $table, " WHERE log = ?1 AND seq > ?2 AND seq <= ?3")
    };
}

pub(crate) const INSERT: &str = insert_into!("events");
pub(crate) const INSERT_JOURNAL: &str = insert_into!("journal");

/// Moves the journal into the logs.
pub(crate) const SORT_IN: &str = concat!(
    "INSERT INTO events (",
    columns!(),
    ") SELECT ",
    columns!(),
    " FROM journal ORDER BY log, seq; DELETE FROM journal;"
);

/// The events of a log of which nothing is in the journal.
pub(crate) const SELECT_SORTED: &str = concat!(select_from!("events"), " ORDER BY seq");
/// The events of any log.
pub(crate) const SELECT: &str =
    concat!(select_from!("events"), " UNION ALL ", select_from!("journal"), " ORDER BY seq");

pub(crate) fn insert(
    statement: &mut Statement<'_>,
    log: u32,
    event: &SyncedEvent,
    tag: Tag,
) -> rusqlite::Result<()> {
    statement.execute((
        log,
        event.seq.0.cast_signed(),
        tag.0,
        event.created_at.unwrap_or_default().0.cast_signed(),
        event.name.as_str(),
        event.client_id.as_str(),
        event.session_id.as_str(),
        event.commit.map(|commit| commit.n.cast_signed()),
        event.commit.map(|commit| commit.index),
        event.unit_end,
        event.args.as_str(),
    ))?;
    Ok(())
}

/// Reads a row of either select.
pub(crate) fn decode(row: &Row<'_>, recall: &mut Recall) -> Result<(SyncedEvent, Tag), BoxError> {
    let seq = number(row, 1)?;
    let commit = match (row.get::<_, Option<i64>>(7)?, row.get::<_, Option<u32>>(8)?) {
        (Some(n), Some(index)) => Some(CommitRef { n: n.cast_unsigned(), index }),
        (None, None) => None,
        _ => return Err(format!("the commit of e{seq} is incomplete").into()),
    };
    let event = SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq.checked_sub(1).ok_or("an event has the number of the root")?),
        name: recall.name(row.get_ref(4)?.as_str()?)?,
        client_id: recall.client_id(row.get_ref(5)?.as_str()?)?,
        session_id: recall.session_id(row.get_ref(6)?.as_str()?)?,
        args: Args::from_stored(Bytes::copy_from_slice(row.get_ref(10)?.as_str()?.as_bytes()))?,
        commit,
        unit_end: row.get(9)?,
        created_at: Some(UnixMillis(number(row, 3)?)),
    };
    Ok((event, Tag(row.get(2)?)))
}

pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
