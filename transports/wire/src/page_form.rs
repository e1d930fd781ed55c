//! Pages of a pull.
//!
//! Over a WebSocket a page travels as two messages, a head of its own for each reader and a body that all readers
//! share:
//!
//! ```text
//! ServerFrame::Page { id, head }      which pull, what follows: a few bytes, encoded for each reader
//! body                                range, token, events: encoded once
//! ```
//!
//! Over HTTP it is one [`PageForm`], in postcard the same bytes: the head, then the body.

use bytes::Bytes;
use livestore_traits::{BackendId, Cursor, GlobalSeq, PageInfo, PullPage};
use serde::{Deserialize, Serialize};

use crate::event_form::SharedEvents;
use crate::{DecodeError, Encoding, bytes_form, event_form};

/// What follows a page: the part that differs from reader to reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageHead {
    /// Whether the page reached the head of the log.
    pub caught_up: bool,
    /// About how many events follow, if it did not and that is known.
    pub remaining: Option<u64>,
}

impl From<PageInfo> for PageHead {
    fn from(info: PageInfo) -> Self {
        match info {
            PageInfo::CaughtUp => Self { caught_up: true, remaining: Some(0) },
            PageInfo::More { remaining } => Self { caught_up: false, remaining },
        }
    }
}

impl From<PageHead> for PageInfo {
    fn from(head: PageHead) -> Self {
        if head.caught_up { Self::CaughtUp } else { Self::More { remaining: head.remaining } }
    }
}

/// What all readers of a page share.
#[derive(Serialize, Deserialize)]
struct BodyForm {
    backend_id: BackendId,
    after: GlobalSeq,
    through: GlobalSeq,
    #[serde(with = "bytes_form::token")]
    token: Option<Bytes>,
    #[serde(with = "event_form::events")]
    events: SharedEvents,
}

/// A whole page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageForm {
    caught_up: bool,
    remaining: Option<u64>,
    backend_id: BackendId,
    after: GlobalSeq,
    through: GlobalSeq,
    #[serde(with = "bytes_form::token")]
    token: Option<Bytes>,
    #[serde(with = "event_form::events")]
    events: SharedEvents,
}

impl From<PullPage> for PageForm {
    fn from(page: PullPage) -> Self {
        let PageHead { caught_up, remaining } = page.info.into();
        let PullPage { after, through, events, cursor, backend_id, .. } = page;
        Self { caught_up, remaining, backend_id, after, through, token: cursor.token, events }
    }
}

impl TryFrom<PageForm> for PullPage {
    type Error = DecodeError;

    fn try_from(form: PageForm) -> Result<Self, DecodeError> {
        let PageForm { caught_up, remaining, backend_id, after, through, token, events } = form;
        page(PageHead { caught_up, remaining }, BodyForm { backend_id, after, through, token, events })
    }
}

/// Writes what all readers of `page` share: everything but its [`PageHead`].
#[must_use]
pub fn encode_page_body(page: &PullPage) -> Bytes {
    Encoding::Postcard.encode(&BodyForm {
        backend_id: page.backend_id.clone(),
        after: page.after,
        through: page.through,
        token: page.cursor.token.clone(),
        events: page.events.clone(),
    })
}

/// Reads the page that `head` announced.
///
/// # Errors
/// [`DecodeError`] if `body` is no page, or one whose events are not ascending within its range.
pub fn decode_page_body(head: PageHead, body: &[u8]) -> Result<PullPage, DecodeError> {
    page(head, Encoding::Postcard.decode(body)?)
}

fn page(head: PageHead, body: BodyForm) -> Result<PullPage, DecodeError> {
    let BodyForm { backend_id, after, through, token, events } = body;
    let mut last = after;
    for event in events.iter() {
        if event.seq <= last {
            return Err(DecodeError::new(format!("a page has {} after {last}", event.seq)));
        }
        last = event.seq;
    }
    if last > through {
        return Err(DecodeError::new(format!("a page through {through} has {last}")));
    }
    let mut page = PullPage::new(after, events, None, backend_id, head.into());
    // Old history may be compacted: the stretch may end after its last event.
    page.through = through;
    page.cursor = Cursor { after: through, token };
    Ok(page)
}
