//! Full pages of immutable history, as JSON that is written piece by piece: such a page has a fixed number of events and
//! so no bound in bytes.

use bytes::{BufMut, Bytes, BytesMut};
use livestore_traits::{BackendId, GlobalSeq, SyncedEvent};
use serde::{Deserialize, Serialize};

use crate::event_form::{self, EventRef};

/// How many numbers a page of history covers. It is part of the address of every page: never to be changed.
pub const HISTORY_PAGE_EVENTS: u64 = 100;

/// The stretch `(after, through]` that the history page `page`, counted from 0, covers; `None` beyond the last number.
#[must_use]
pub fn history_page(page: u64) -> Option<(GlobalSeq, GlobalSeq)> {
    let after = page.checked_mul(HISTORY_PAGE_EVENTS)?;
    Some((GlobalSeq(after), GlobalSeq(after.checked_add(HISTORY_PAGE_EVENTS)?)))
}

/// A page of history as it reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryForm {
    /// The incarnation it belongs to.
    pub backend_id: BackendId,
    /// The last event before it.
    pub after: GlobalSeq,
    /// Its last number.
    pub through: GlobalSeq,
    /// Its events.
    #[serde(with = "event_form::events")]
    pub events: Vec<SyncedEvent>,
}

/// Writes a [`HistoryForm`] in pieces.
#[derive(Debug)]
pub struct HistoryWriter {
    through: GlobalSeq,
    has_events: bool,
}

impl HistoryWriter {
    /// Begins a page; also returns its first piece.
    #[must_use]
    pub fn start(backend_id: &BackendId, after: GlobalSeq, through: GlobalSeq) -> (Self, Bytes) {
        let backend_id = serde_json::to_string(backend_id).expect("a string has a JSON form");
        let piece =
            format!(r#"{{"backendId":{backend_id},"after":{},"through":{},"events":["#, after.0, through.0);
        (Self { through, has_events: false }, piece.into())
    }

    /// The next piece: those of `events` that belong to the page.
    #[must_use]
    pub fn events(&mut self, events: &[SyncedEvent]) -> Bytes {
        let mut piece = BytesMut::new().writer();
        for event in events.iter().take_while(|event| event.seq <= self.through) {
            if self.has_events {
                piece.get_mut().put_u8(b',');
            }
            self.has_events = true;
            serde_json::to_writer(&mut piece, &EventRef(event)).expect("an event has a JSON form");
        }
        piece.into_inner().freeze()
    }

    /// The last piece.
    #[must_use]
    pub const fn end(self) -> Bytes {
        Bytes::from_static(b"]}")
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::{Args, ClientId, EventName, SessionId};

    use super::*;
    use crate::Encoding;

    fn event(seq: u64) -> SyncedEvent {
        SyncedEvent {
            seq: GlobalSeq(seq),
            parent: GlobalSeq(seq - 1),
            name: EventName::new("v1.Noted").unwrap(),
            args: Args::parse(r#"{"text":"a \" b"}"#).unwrap(),
            client_id: ClientId::new("c").unwrap(),
            session_id: SessionId::new("s").unwrap(),
            commit: None,
            unit_end: true,
            created_at: None,
        }
    }

    #[test]
    fn pieces_make_one_document_without_what_comes_after() {
        let events: Vec<_> = (1..=5).map(event).collect();
        let backend_id = BackendId::new("a \"b\" c").unwrap();
        let (mut writer, start) = HistoryWriter::start(&backend_id, GlobalSeq(0), GlobalSeq(4));
        let pieces = [start, writer.events(&events[..2]), writer.events(&events[2..]), writer.end()];
        let form: HistoryForm = Encoding::Json.decode(&pieces.concat()).unwrap();
        let through = GlobalSeq(4);
        assert_eq!(
            form,
            HistoryForm { backend_id, after: GlobalSeq(0), through, events: events[..4].to_vec() }
        );
    }

    #[test]
    fn the_last_numbers_belong_to_no_page() {
        assert_eq!(history_page(1), Some((GlobalSeq(100), GlobalSeq(200))));
        assert_eq!(history_page(u64::MAX / 100), None);
        assert_eq!(history_page(u64::MAX), None);
    }
}
