//! The confirmed history of a store as a stream.

use std::sync::Arc;

use futures::StreamExt;
use livestore_traits::{
    BoxStream, ClientId, Event, EventKind, EventName, EventlogError, EventlogReader, Position, ReadLimit,
    SeqNum,
};
use tokio::sync::watch;

use crate::processor::LeaderStatus;

/// Events per read of the log.
const READ_EVENTS: usize = 512;

/// Which events of the history are wanted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HistoryFilter {
    /// Only events after this place.
    pub after: Position,
    /// Only events of this name.
    pub name: Option<EventName>,
    /// Only events of this client.
    pub client_id: Option<ClientId>,
    /// Client-only events too; by default only synced ones.
    pub client_only: bool,
    /// End when the settled head was reached, instead of going on with what is settled later.
    pub until_now: bool,
}

impl HistoryFilter {
    fn wants(&self, event: &Event) -> bool {
        (self.client_only || event.kind() == EventKind::Synced)
            && self.name.as_ref().is_none_or(|name| *name == event.name)
            && self.client_id.as_ref().is_none_or(|client| *client == event.client_id)
    }
}

/// An event of the history, or why it cannot be read. After an error the stream ends. [`EventlogError::Refused`] means
/// that the backend's history was replaced by another one: what was read is archived in part, so read from the start.
pub type HistoryItem = Result<Event, EventlogError>;

/// A reader of the history under way.
struct Reading {
    reader: Arc<std::sync::Mutex<Box<dyn EventlogReader>>>,
    status: watch::Receiver<LeaderStatus>,
    filter: HistoryFilter,
    at: Position,
    /// The version of the last event that was read.
    last: Option<SeqNum>,
}

pub(super) fn history(
    reader: Box<dyn EventlogReader>,
    status: watch::Receiver<LeaderStatus>,
    filter: HistoryFilter,
) -> BoxStream<'static, HistoryItem> {
    let at = filter.after;
    let reading = Reading { reader: Arc::new(std::sync::Mutex::new(reader)), status, filter, at, last: None };
    futures::stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next_page().await {
            Ok(Some(events)) => Some((futures::stream::iter(events).map(Ok).left_stream(), Some(reading))),
            Ok(None) => None,
            Err(error) => Some((futures::stream::iter([Err(error)]).right_stream(), None)),
        }
    })
    .flatten()
    .boxed()
}

impl Reading {
    /// The wanted events of the next stretch of settled history; `None` when there will be none.
    async fn next_page(&mut self) -> Result<Option<Vec<Event>>, EventlogError> {
        let settled = loop {
            let settled = self.status.borrow_and_update().settled_head.position();
            // It falls only when the history is replaced, which reading finds out.
            if settled > self.at || (settled < self.at && self.last.is_some()) {
                break settled;
            }
            if self.filter.until_now || self.status.changed().await.is_err() {
                return Ok(None);
            }
        };
        let (reader, at, last) = (self.reader.clone(), self.at, self.last);
        let read = move || {
            let reader = reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match last {
                Some(last) if reader.common(last)? != last => Err(replaced(last)),
                _ => reader.read(at, ReadLimit::events(READ_EVENTS)),
            }
        };
        let events = tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| EventlogError::Storage(error.into()))??;
        let mut wanted: Vec<Event> =
            events.into_iter().take_while(|event| event.num.position() <= settled).collect();
        self.last = wanted.last().map(|event| event.num).or(self.last);
        self.at = wanted.last().map_or(settled, |event| event.num.position());
        wanted.retain(|event| self.filter.wants(event));
        Ok(Some(wanted))
    }
}

fn replaced(last: SeqNum) -> EventlogError {
    EventlogError::Refused(format!(
        "the history that was read up to {last} is archived, because the backend has another one now"
    ))
}
