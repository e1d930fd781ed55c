//! How an event is a row. 64-bit numbers keep their bits: SQLite's integers are signed, ours are not.

use bytes::Bytes;
use livestore_backend_log::{Recall, Tag};
use livestore_traits::{Args, BoxError, CommitRef, GlobalSeq, SyncedEvent, UnixMillis};
use rusqlite::{Row, Statement};

pub(crate) const INSERT: &str = "
    INSERT INTO events (log, seq, tag, created_at, name, client_id, session_id, commit_n, commit_index, unit_end, args)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

pub(crate) const SELECT: &str = "
    SELECT seq, tag, created_at, name, client_id, session_id, commit_n, commit_index, unit_end, args
    FROM events WHERE log = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq";

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

/// Reads a row of [`SELECT`].
pub(crate) fn decode(row: &Row<'_>, recall: &mut Recall) -> Result<(SyncedEvent, Tag), BoxError> {
    let seq = number(row, 0)?;
    let commit = match (row.get::<_, Option<i64>>(6)?, row.get::<_, Option<u32>>(7)?) {
        (Some(n), Some(index)) => Some(CommitRef { n: n.cast_unsigned(), index }),
        (None, None) => None,
        _ => return Err(format!("the commit of e{seq} is incomplete").into()),
    };
    let event = SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq.checked_sub(1).ok_or("an event has the number of the root")?),
        name: recall.name(row.get_ref(3)?.as_str()?)?,
        client_id: recall.client_id(row.get_ref(4)?.as_str()?)?,
        session_id: recall.session_id(row.get_ref(5)?.as_str()?)?,
        args: Args::from_stored(Bytes::copy_from_slice(row.get_ref(9)?.as_str()?.as_bytes()))?,
        commit,
        unit_end: row.get(8)?,
        created_at: Some(UnixMillis(number(row, 2)?)),
    };
    Ok((event, Tag(row.get(1)?)))
}

pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
