//! An event on the wire.

use std::sync::Arc;

use livestore_traits::{Args, ClientId, CommitRef, EventName, GlobalSeq, SessionId, SyncedEvent, UnixMillis};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The written shape of a [`SyncedEvent`]. What only this library's own clients know may be left out in JSON.
#[derive(Serialize, Deserialize)]
#[serde(remote = "SyncedEvent", rename_all = "camelCase")]
struct EventForm {
    seq: GlobalSeq,
    parent: GlobalSeq,
    name: EventName,
    #[serde(default)]
    args: Args,
    client_id: ClientId,
    session_id: SessionId,
    #[serde(default)]
    commit: Option<CommitRef>,
    #[serde(default = "one_event_is_a_unit")]
    unit_end: bool,
    #[serde(default)]
    created_at: Option<UnixMillis>,
}

const fn one_event_is_a_unit() -> bool {
    true
}

#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct EventRef<'a>(#[serde(with = "EventForm")] pub(crate) &'a SyncedEvent);

#[derive(Deserialize)]
#[serde(transparent)]
struct Owned(#[serde(with = "EventForm")] SyncedEvent);

/// A list of events, for `#[serde(with)]`.
pub(crate) mod events {
    use super::{Deserialize, Deserializer, EventRef, Owned, Serializer, SyncedEvent};

    pub(crate) fn serialize<S: Serializer>(
        events: impl AsRef<[SyncedEvent]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(events.as_ref().iter().map(EventRef))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: From<Vec<SyncedEvent>>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let events = Vec::<Owned>::deserialize(deserializer)?;
        Ok(events.into_iter().map(|event| event.0).collect::<Vec<_>>().into())
    }
}

/// The events of a page, shared by all its readers.
pub(crate) type SharedEvents = Arc<[SyncedEvent]>;
