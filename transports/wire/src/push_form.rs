//! A push and its acknowledgement.

use bytes::Bytes;
use livestore_traits::{BackendId, ClientSecret, Cursor, GlobalSeq, Push, PushAck, SyncedEvent, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::{bytes_form, event_form};

/// The written shape of a [`Push`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushForm {
    #[serde(default)]
    backend_id: Option<BackendId>,
    parent: GlobalSeq,
    #[serde(default, with = "bytes_form::secret")]
    proof: Option<ClientSecret>,
    #[serde(with = "event_form::events")]
    events: Vec<SyncedEvent>,
}

impl From<Push> for PushForm {
    fn from(push: Push) -> Self {
        let Push { backend_id, parent, proof, events, .. } = push;
        Self { backend_id, parent, proof, events }
    }
}

impl From<PushForm> for Push {
    fn from(form: PushForm) -> Self {
        let PushForm { backend_id, parent, proof, events } = form;
        Self::new(backend_id, parent, proof, events)
    }
}

/// The written shape of a [`PushAck`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AckForm {
    backend_id: BackendId,
    through: GlobalSeq,
    #[serde(with = "bytes_form::token")]
    token: Option<Bytes>,
    created_at: UnixMillis,
}

impl From<PushAck> for AckForm {
    fn from(ack: PushAck) -> Self {
        let PushAck { backend_id, cursor, created_at, .. } = ack;
        Self { backend_id, through: cursor.after, token: cursor.token, created_at }
    }
}

impl From<AckForm> for PushAck {
    fn from(form: AckForm) -> Self {
        let AckForm { backend_id, through, token, created_at } = form;
        Self::new(backend_id, Cursor { after: through, token }, created_at)
    }
}
