//! Reading from a backend: what is asked, and the pages that answer.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{BackendId, GlobalSeq, SyncedEvent};

/// How far a client has read: the events after `after` are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The last event the client has; exclusive.
    pub after: GlobalSeq,
    /// The backend's own mark of the history up to `after`: opaque, stored by the client, given back as it came. With
    /// it a backend notices that it was replaced or restored under the client. At most 4096 bytes: clients put it into a
    /// URL.
    pub token: Option<Bytes>,
}

impl Cursor {
    /// From the first event on.
    #[must_use]
    pub const fn start() -> Self {
        Self { after: GlobalSeq::ROOT, token: None }
    }
}

/// Whether a pull ends when it has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PullMode {
    /// Ends after the page that reaches the head.
    Once,
    /// Goes on with what is accepted later; never ends by itself.
    Live,
}

/// Asks for the events after a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pull {
    /// The incarnation the cursor belongs to; `None` for a client that knows none yet.
    pub backend_id: Option<BackendId>,
    /// Where to go on.
    pub cursor: Cursor,
    /// Whether to stay after catching up.
    pub mode: PullMode,
}

impl Pull {
    /// A pull of a client that knows `backend_id` (if any) up to `cursor`.
    #[must_use]
    pub const fn new(backend_id: Option<BackendId>, cursor: Cursor, mode: PullMode) -> Self {
        Self { backend_id, cursor, mode }
    }
}

/// How much of a pull is still to come after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageInfo {
    /// This page reached the head as it was when the page was made.
    CaughtUp,
    /// About this many events follow; counted once or estimated, for progress only.
    More {
        /// Events after this page, or `None` if not known.
        remaining: Option<u64>,
    },
}

/// A stretch of the total order: everything in `(after, through]`.
///
/// A page may hold fewer events than the stretch has numbers, because old history may have been compacted; only an
/// `after` beyond the reader's cursor is a gap. A page may be empty (`after == through`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullPage {
    /// The last event before the stretch.
    pub after: GlobalSeq,
    /// The last number of the stretch.
    pub through: GlobalSeq,
    /// The events, ascending; shared between all readers of the page.
    pub events: Arc<[SyncedEvent]>,
    /// Where the next pull goes on: `after` is this page's `through`.
    pub cursor: Cursor,
    /// The incarnation the page comes from.
    pub backend_id: BackendId,
    /// What follows.
    pub info: PageInfo,
}

impl PullPage {
    /// A page of `events` after `after`; `token` marks the history up to its last event.
    #[must_use]
    pub fn new(
        after: GlobalSeq,
        events: Arc<[SyncedEvent]>,
        token: Option<Bytes>,
        backend_id: BackendId,
        info: PageInfo,
    ) -> Self {
        let through = events.last().map_or(after, |event| event.seq);
        Self { after, through, events, cursor: Cursor { after: through, token }, backend_id, info }
    }
}
