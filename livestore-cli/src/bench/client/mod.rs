//! A client as the measurements need one, over whichever protocol: it pushes one batch after the other, or follows a
//! store.

mod backend;
mod livestore;
mod livestore_frame;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use livestore_traits::{PullMode, SyncedEvent};
use tokio::time::Instant;

use super::events::{Batch, Seen};
use crate::error::CommandError;

pub(super) use backend::BackendClient;
pub(super) use livestore::LiveStoreClient;

/// How long any answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// One connection to one store.
#[async_trait]
pub(super) trait Client: Send {
    /// Pushes a batch and waits for the answer. An error means that this connection is of no more use.
    async fn push(&mut self, batch: &Batch<'_>) -> Result<Pushed, CommandError>;

    /// Asks for all events of the store.
    async fn pull(&mut self, mode: PullMode) -> Result<(), CommandError>;

    /// The next page of what was asked for; `None` if it is over, which [`PullMode::Live`] never is.
    async fn page(&mut self) -> Result<Option<Page>, CommandError>;
}

/// What became of a push.
#[derive(Debug)]
pub(super) enum Pushed {
    /// It is acknowledged.
    Accepted,
    /// It does not follow the head; nothing was stored.
    Ahead {
        /// The head.
        head: u64,
    },
    /// The server failed; what it says. The events may be stored.
    Failed(String),
}

/// Some events of a store, as they arrived.
#[derive(Debug)]
pub(super) struct Page {
    /// When it had arrived; what reading it costs comes after.
    pub(super) at: Instant,
    /// How many events it has.
    pub(super) events: u64,
    /// Whether it reaches the head.
    pub(super) is_last: bool,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Events(Arc<[SyncedEvent]>),
    /// A chunk of LiveStore's protocol, taken apart when somebody wants to see it.
    Frame(Bytes),
}

impl Page {
    /// Shows each event, in order.
    pub(super) fn for_each(
        &self,
        mut take: impl FnMut(&Seen<'_>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        match &self.content {
            Content::Events(events) => events.iter().try_for_each(|event| {
                take(&Seen {
                    seq: event.seq.0,
                    parent: event.parent.0,
                    name: event.name.as_str(),
                    args: event.args.as_str(),
                    client_id: event.client_id.as_str(),
                    session_id: event.session_id.as_str(),
                })
            }),
            Content::Frame(frame) => livestore_frame::for_each(frame, take),
        }
    }
}

/// Waits for an answer, but not for ever.
async fn patiently<T>(
    what: &str,
    answer: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
        Err(CommandError::new(format!(
            "the server did not answer {what} within {} seconds",
            PATIENCE.as_secs()
        )))
    })
}
