//! Between the types of the contract and the columns of a row.

use bytes::Bytes;
use livestore_traits::{
    Args, BackendId, ClientId, ClientSecret, CommitRef, Cursor, Event, EventName, EventlogError, GlobalSeq,
    GoneReason, Heads, Identity, InvalidId, Position, RebaseGeneration, SeqNum, SessionId, Term,
    UpstreamMark,
};
use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};

use crate::error::{corrupt, failed};

/// The columns of an event, in the order that [`event`] reads and an insert binds them.
pub(crate) const EVENT_COLUMNS: &str =
    "global, client, generation, name, args, client_id, session_id, commit_n, commit_index, unit_end, is_own";

/// The columns of the heads, in the order that [`heads`] reads and an insert binds them.
pub(crate) const HEAD_COLUMNS: &str = "local, settled, upstream, cursor_after, cursor_token, backend_id, \
     generation, term, client_id, secret";

/// SQLite's integers are signed; a number beyond them cannot be stored.
pub(crate) fn integer(number: u64) -> Result<i64, EventlogError> {
    i64::try_from(number)
        .map_err(|_| EventlogError::Refused(format!("{number} is larger than SQLite's integers")))
}

/// Reads a column of a type that SQLite knows.
pub(crate) fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, EventlogError> {
    row.get(column).map_err(failed)
}

/// Reads a number as [`integer`] wrote it.
pub(crate) fn number(row: &Row<'_>, column: usize) -> Result<u64, EventlogError> {
    unsigned(get(row, column)?)
}

fn unsigned(integer: i64) -> Result<u64, EventlogError> {
    u64::try_from(integer).map_err(corrupt)
}

/// Reads an event. Texts that are those of `previous` are shared with it, since neighbours mostly have the same client,
/// session and name.
pub(crate) fn event(row: &Row<'_>, previous: Option<&Event>) -> Result<Event, EventlogError> {
    let commit_n: Option<i64> = get(row, 7)?;
    let commit_index: Option<u32> = get(row, 8)?;
    Ok(Event {
        num: num(row)?,
        name: share(text(row, 3)?, previous.map(|event| &event.name), EventName::new)?,
        args: Args::from_stored(Bytes::copy_from_slice(text(row, 4)?.as_bytes())).map_err(corrupt)?,
        client_id: share(text(row, 5)?, previous.map(|event| &event.client_id), ClientId::new)?,
        session_id: share(text(row, 6)?, previous.map(|event| &event.session_id), SessionId::new)?,
        commit: commit_n
            .zip(commit_index)
            .map(|(n, index)| Ok::<_, EventlogError>(CommitRef { n: unsigned(n)?, index }))
            .transpose()?,
        unit_end: get(row, 9)?,
        is_own: get(row, 10)?,
    })
}

/// Reads the number of an event from its first three columns.
pub(crate) fn num(row: &Row<'_>) -> Result<SeqNum, EventlogError> {
    let position = Position { global: GlobalSeq(number(row, 0)?), client: get(row, 1)? };
    Ok(SeqNum::new(position, RebaseGeneration(number(row, 2)?)))
}

/// Reads the heads.
pub(crate) fn heads(row: &Row<'_>) -> Result<Heads, EventlogError> {
    let token: Option<Vec<u8>> = get(row, 4)?;
    let client_id: Option<String> = get(row, 8)?;
    let secret: Option<[u8; 16]> = get(row, 9)?;
    let identity = client_id.zip(secret).map(|(client_id, secret)| {
        let client_id = ClientId::new(client_id).map_err(corrupt)?;
        Ok::<_, EventlogError>(Identity { client_id, secret: ClientSecret(secret) })
    });
    Ok(Heads {
        local: notation(row, 0)?,
        settled: notation(row, 1)?,
        upstream: UpstreamMark {
            head: notation(row, 2)?,
            cursor: Cursor { after: GlobalSeq(number(row, 3)?), token: token.map(Bytes::from) },
            backend_id: backend_id(row, 5)?,
        },
        generation: RebaseGeneration(number(row, 6)?),
        term: Term(number(row, 7)?),
        identity: identity.transpose()?,
    })
}

/// Reads a number in event notation.
pub(crate) fn notation(row: &Row<'_>, column: usize) -> Result<SeqNum, EventlogError> {
    text(row, column)?.parse().map_err(corrupt)
}

/// Reads the id of a backend, if there is one.
pub(crate) fn backend_id(row: &Row<'_>, column: usize) -> Result<Option<BackendId>, EventlogError> {
    let id: Option<String> = get(row, column)?;
    id.map(|id| BackendId::new(id).map_err(corrupt)).transpose()
}

/// Reads why a commit is gone.
pub(crate) fn reason(row: &Row<'_>, column: usize) -> Result<GoneReason, EventlogError> {
    serde_json::from_str(text(row, column)?).map_err(corrupt)
}

/// Writes why a commit is gone.
pub(crate) fn reason_text(reason: &GoneReason) -> Result<String, EventlogError> {
    serde_json::to_string(reason).map_err(|error| EventlogError::Refused(error.to_string()))
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, EventlogError> {
    match row.get_ref(column).map_err(failed)? {
        ValueRef::Text(text) => std::str::from_utf8(text).map_err(corrupt),
        other => Err(corrupt(format!("a text was expected, not {}", other.data_type()))),
    }
}

fn share<'a, T: AsRef<str> + Clone>(
    text: &'a str,
    previous: Option<&T>,
    new: impl FnOnce(&'a str) -> Result<T, InvalidId>,
) -> Result<T, EventlogError> {
    match previous {
        Some(previous) if previous.as_ref() == text => Ok(previous.clone()),
        _ => new(text).map_err(corrupt),
    }
}
