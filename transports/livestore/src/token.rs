//! The opaque part of a cursor.
//!
//! LiveStore's own cursor is a backend id and a number, which a log that was set back and has grown again cannot be told
//! by. The time at which the server accepted the last event can: the server keeps it, and no other history has it.

use bytes::Bytes;
use livestore_traits::{BackendId, Cursor, GlobalSeq, SyncedEvent, UnixMillis};
use serde::{Deserialize, Serialize};

/// What a cursor's token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Token {
    pub(crate) backend_id: BackendId,
    event_sequence_number: GlobalSeq,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<UnixMillis>,
}

impl Token {
    /// Reads the token of a cursor, if it has one.
    pub(crate) fn of(cursor: &Cursor) -> Result<Option<Self>, String> {
        let Some(text) = &cursor.token else { return Ok(None) };
        let token: Self =
            serde_json::from_slice(text).map_err(|_| "the cursor is not one of this backend's".to_owned())?;
        if token.event_sequence_number != cursor.after {
            let at = token.event_sequence_number;
            return Err(format!("the cursor is at {} and its token at {at}", cursor.after));
        }
        Ok(Some(token))
    }
}

/// The cursor after `event`.
pub(crate) fn cursor_at(event: &SyncedEvent, backend_id: &BackendId) -> Cursor {
    let token = Token {
        backend_id: backend_id.clone(),
        event_sequence_number: event.seq,
        created_at: event.created_at,
    };
    let token: Bytes = serde_json::to_vec(&token).expect("ids and numbers have a JSON form").into();
    Cursor { after: event.seq, token: Some(token) }
}
