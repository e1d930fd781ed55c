//! Items of a pull: pages of this library, cut to what LiveStore's clients take.
//!
//! An item is written in two parts, a body that all readers share and what follows it for one reader:
//!
//! ```text
//! {"batch":[…],"backendId":"…"      encoded once
//! ,"pageInfo":{"_tag":"NoMore"}}    for each reader
//! ```

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use livestore_traits::{
    Args, BackendId, ClientId, EventName, GlobalSeq, PageInfo, PullPage, SessionId, SyncedEvent,
};
use serde::{Deserialize, Deserializer, Serialize};

use super::timestamp::{self, Iso};

/// The most events in one item.
pub const MAX_ITEM_EVENTS: usize = 100;
/// The most bytes of one item. An event that is larger alone, which no client of this protocol pushes, travels alone.
pub const MAX_ITEM_BYTES: usize = 900_000;
/// What one event and its metadata need beyond [`SyncedEvent::encoded_len`], and an item beside its events.
const OVERHEAD_BYTES: usize = 64;
const ITEM_OVERHEAD_BYTES: usize = 512;

/// One item of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullItem {
    /// The events, ascending.
    pub events: Arc<[SyncedEvent]>,
    /// What follows.
    pub info: PageInfo,
    /// The incarnation it comes from.
    pub backend_id: BackendId,
}

impl PullItem {
    pub(crate) fn encode_body(&self) -> Bytes {
        encode_body(&self.events, &self.backend_id)
    }
}

/// Cuts a page into pages that each fit into one item.
#[must_use]
pub fn cut(page: PullPage) -> Vec<PullPage> {
    let mut ends = Vec::new();
    let (mut count, mut bytes) = (0, ITEM_OVERHEAD_BYTES);
    for (index, event) in page.events.iter().enumerate() {
        let len = event.encoded_len() + OVERHEAD_BYTES;
        if count > 0 && (count == MAX_ITEM_EVENTS || bytes + len > MAX_ITEM_BYTES) {
            ends.push(index);
            (count, bytes) = (0, ITEM_OVERHEAD_BYTES);
        }
        count += 1;
        bytes += len;
    }
    if ends.is_empty() {
        return vec![page];
    }
    ends.push(page.events.len());
    let mut start = 0;
    let pieces = ends.into_iter().map(|end| piece(&page, std::mem::replace(&mut start, end), end));
    pieces.collect()
}

/// The events `start..end` of `page` as a page. The token, which marks the end of the whole page, goes with each piece:
/// this wire never sends it, and on the server it tells histories apart.
fn piece(page: &PullPage, start: usize, end: usize) -> PullPage {
    let after = if start == 0 { page.after } else { page.events[start - 1].seq };
    let left = u64::try_from(page.events.len() - end).unwrap_or(u64::MAX);
    let info = match page.info {
        info if left == 0 => info,
        PageInfo::CaughtUp => PageInfo::More { remaining: Some(left) },
        PageInfo::More { remaining } => {
            PageInfo::More { remaining: remaining.map(|more| more.saturating_add(left)) }
        }
    };
    let token = page.cursor.token.clone();
    PullPage::new(after, page.events[start..end].into(), token, page.backend_id.clone(), info)
}

/// Writes what all readers of `page` share.
#[must_use]
pub fn encode_item_body(page: &PullPage) -> Bytes {
    encode_body(&page.events, &page.backend_id)
}

fn encode_body(events: &[SyncedEvent], backend_id: &BackendId) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        batch: Vec<EntryForm<'a>>,
        backend_id: &'a BackendId,
    }
    let body = Body { batch: events.iter().map(EntryForm::from).collect(), backend_id };
    let mut text = serde_json::to_vec(&body).expect("events have string keys and valid args");
    // The reader's own part follows.
    text.pop();
    text.into()
}

/// Writes a whole item.
pub(crate) fn write(out: &mut BytesMut, body: &Bytes, info: PageInfo) {
    out.put_slice(body);
    out.put_slice(br#","pageInfo":"#);
    match info {
        PageInfo::CaughtUp => out.put_slice(br#"{"_tag":"NoMore"}}"#),
        PageInfo::More { remaining: None } => out.put_slice(br#"{"_tag":"MoreUnknown"}}"#),
        PageInfo::More { remaining: Some(remaining) } => {
            out.put_slice(format!(r#"{{"_tag":"MoreKnown","remaining":{remaining}}}}}"#).as_bytes());
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryForm<'a> {
    event_encoded: EventRef<'a>,
    metadata: OptionForm<MetadataForm>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventRef<'a> {
    name: &'a EventName,
    args: &'a Args,
    seq_num: GlobalSeq,
    parent_seq_num: GlobalSeq,
    client_id: &'a ClientId,
    session_id: &'a SessionId,
}

impl<'a> From<&'a SyncedEvent> for EventRef<'a> {
    fn from(event: &'a SyncedEvent) -> Self {
        let SyncedEvent { seq, parent, name, args, client_id, session_id, .. } = event;
        Self { name, args, seq_num: *seq, parent_seq_num: *parent, client_id, session_id }
    }
}

impl<'a> From<&'a SyncedEvent> for EntryForm<'a> {
    fn from(event: &'a SyncedEvent) -> Self {
        let metadata = event
            .created_at
            .map(|at| MetadataForm { tag: MetadataTag::Sync, created_at: Iso(at).to_string() });
        Self { event_encoded: event.into(), metadata: metadata.into() }
    }
}

/// An event as clients push it. What this wire cannot say: every event is a unit of its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventForm {
    name: EventName,
    #[serde(default)]
    args: Args,
    seq_num: GlobalSeq,
    parent_seq_num: GlobalSeq,
    client_id: ClientId,
    session_id: SessionId,
}

impl From<EventForm> for SyncedEvent {
    fn from(form: EventForm) -> Self {
        let EventForm { name, args, seq_num, parent_seq_num, client_id, session_id } = form;
        Self {
            seq: seq_num,
            parent: parent_seq_num,
            name,
            args,
            client_id,
            session_id,
            commit: None,
            unit_end: true,
            created_at: None,
        }
    }
}

/// Effect's `Option`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "_tag")]
pub(crate) enum OptionForm<T> {
    None,
    Some { value: T },
}

impl<T> From<Option<T>> for OptionForm<T> {
    fn from(option: Option<T>) -> Self {
        option.map_or(Self::None, |value| Self::Some { value })
    }
}

impl<T> From<OptionForm<T>> for Option<T> {
    fn from(form: OptionForm<T>) -> Self {
        match form {
            OptionForm::None => None,
            OptionForm::Some { value } => Some(value),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MetadataForm {
    #[serde(rename = "_tag")]
    tag: MetadataTag,
    #[serde(rename = "createdAt")]
    created_at: String,
}

#[derive(Serialize, Deserialize)]
enum MetadataTag {
    #[serde(rename = "SyncMessage.SyncMetadata")]
    Sync,
}

impl<'de> Deserialize<'de> for PullItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = ItemForm::deserialize(deserializer)?;
        let events = form.batch.into_iter().map(|entry| {
            let metadata: Option<MetadataForm> = entry.metadata.into();
            // Clients attach no meaning to it, so a time in another form is none.
            let created_at = metadata.and_then(|metadata| timestamp::parse(&metadata.created_at));
            SyncedEvent { created_at, ..entry.event_encoded.into() }
        });
        let info = match form.page_info {
            InfoForm::NoMore => PageInfo::CaughtUp,
            InfoForm::MoreKnown { remaining } => PageInfo::More { remaining: Some(remaining) },
            InfoForm::MoreUnknown => PageInfo::More { remaining: None },
        };
        Ok(Self { events: events.collect(), info, backend_id: form.backend_id })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemForm {
    batch: Vec<ReadEntryForm>,
    page_info: InfoForm,
    backend_id: BackendId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadEntryForm {
    event_encoded: EventForm,
    metadata: OptionForm<MetadataForm>,
}

#[derive(Deserialize)]
#[serde(tag = "_tag")]
enum InfoForm {
    NoMore,
    MoreKnown { remaining: u64 },
    MoreUnknown,
}

/// The cursor of a pull.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CursorForm {
    pub(crate) backend_id: BackendId,
    pub(crate) event_sequence_number: GlobalSeq,
}
