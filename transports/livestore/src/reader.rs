//! One pull as its reader wants it: pages in order, without gap or repeat, whatever items the server sends.
//!
//! A pull begins with the last event that the reader has, so that it shows whether the log is still the one it was:
//!
//! ```text
//! reader has ..e5 of b     asks for b, after e4     items  [e5 e6 e7] [e8]     pages  (e5, e7] (e7, e8]
//!                                                          [e5' …] or []       diverged
//! ```
//!
//! The reference server lets what is pushed during a catch-up overtake it, and then sends it again or not. What comes too
//! early is kept until its turn, what comes again is cut off.

use std::collections::VecDeque;

use livestore_traits::{
    BackendId, Cursor, GlobalSeq, PageInfo, Pull, PullError, PullMode, PullPage, SyncedEvent, UnixMillis,
};
use livestore_wire::livestore::{PullCall, PullItem};

use crate::LiveStoreError;
use crate::token::{Token, cursor_at};

/// The largest integer that JavaScript counts to; servers answer larger ones as if they were nonsense.
const MAX_NUMBER: GlobalSeq = GlobalSeq((1 << 53) - 1);

#[derive(Debug)]
pub(crate) struct Reader {
    backend_id: Option<BackendId>,
    /// What the reader has.
    cursor: Cursor,
    is_live: bool,
    /// The last event that was seen in order; up to the cursor none is given on.
    seen: GlobalSeq,
    /// Whether the event at the cursor has not been seen yet.
    is_unproven: bool,
    /// When it was written, if that is known.
    written_at: Option<UnixMillis>,
    /// Whether the server has not yet reached its head.
    is_behind: bool,
    /// Items that overtook others, and how large they are together.
    early: Vec<(PullItem, usize)>,
    early_bytes: usize,
    max_early_bytes: usize,
    pages: VecDeque<PullPage>,
    /// What the last page said of what follows it.
    told: Option<PageInfo>,
}

impl Reader {
    /// A reader that keeps up to `max_early_bytes` bytes of items that came too early.
    pub(crate) fn new(pull: Pull, max_early_bytes: usize) -> Result<Self, PullError> {
        let Pull { mut backend_id, cursor, mode, .. } = pull;
        if cursor.after > MAX_NUMBER {
            return Err(PullError::Diverged(format!("no log of LiveStore's reaches {}", cursor.after)));
        }
        let token = Token::of(&cursor).map_err(PullError::Diverged)?;
        if let Some(token) = &token {
            let known = backend_id.get_or_insert_with(|| token.backend_id.clone());
            if *known != token.backend_id {
                return Err(PullError::Diverged(format!(
                    "the cursor is of {}, not of {known}",
                    token.backend_id
                )));
            }
        }
        Ok(Self {
            backend_id,
            cursor,
            is_live: mode == PullMode::Live,
            seen: GlobalSeq::ROOT,
            is_unproven: false,
            written_at: None,
            is_behind: true,
            early: Vec::new(),
            early_bytes: 0,
            max_early_bytes,
            pages: VecDeque::new(),
            told: None,
        })
    }

    /// What to ask for; again after it was interrupted.
    pub(crate) fn call(&mut self) -> PullCall {
        // Without a backend id no place can be named, only the start.
        let is_anywhere = self.backend_id.is_some();
        self.seen =
            if is_anywhere { GlobalSeq(self.cursor.after.0.saturating_sub(1)) } else { GlobalSeq::ROOT };
        self.is_unproven = self.cursor.after > GlobalSeq::ROOT;
        self.written_at = Token::of(&self.cursor).ok().flatten().and_then(|token| token.created_at);
        self.is_behind = true;
        self.early.clear();
        self.early_bytes = 0;
        PullCall {
            backend_id: self.backend_id.clone(),
            cursor: Cursor { after: self.seen, token: None },
            live: self.is_live,
        }
    }

    pub(crate) fn next_page(&mut self) -> Option<PullPage> {
        self.pages.pop_front()
    }

    /// Takes what the server sent, `bytes` long.
    pub(crate) fn take(&mut self, item: PullItem, bytes: usize) -> Result<(), PullError> {
        let known = self.backend_id.get_or_insert_with(|| item.backend_id.clone());
        if *known != item.backend_id {
            return Err(PullError::Diverged(format!("its id was {known} and is {}", item.backend_id)));
        }
        if self.is_early(&item) {
            return self.keep(item, bytes);
        }
        self.read(item)?;
        self.read_early()
    }

    /// The server has sent everything of a pull that does not stay.
    pub(crate) fn finish(&self) -> Result<(), PullError> {
        if self.is_live || self.told.is_none() || !self.early.is_empty() {
            return Err(broken("the pull ended before it was complete"));
        }
        Ok(())
    }

    fn is_early(&self, item: &PullItem) -> bool {
        item.events.first().is_some_and(|first| first.seq.0.saturating_sub(self.seen.0) > 1)
    }

    fn keep(&mut self, item: PullItem, bytes: usize) -> Result<(), PullError> {
        let first = item.events.first().map_or(self.seen, |first| first.seq);
        if !self.is_behind {
            return Err(broken(&format!("{first} follows {}", self.seen)));
        }
        self.early_bytes += bytes;
        if self.early_bytes > self.max_early_bytes {
            // A new pull finds it in its place.
            return Err(broken("too much overtook the catch-up"));
        }
        self.early.push((item, bytes));
        Ok(())
    }

    fn read_early(&mut self) -> Result<(), PullError> {
        while let Some(index) = self.early.iter().position(|(item, _)| !self.is_early(item)) {
            let (item, bytes) = self.early.swap_remove(index);
            self.early_bytes -= bytes;
            self.read(item)?;
        }
        match self.early.first() {
            Some(_) if !self.is_behind => Err(broken(&format!("events are missing after {}", self.seen))),
            _ => Ok(()),
        }
    }

    /// Reads an item that follows what was seen, or repeats it.
    fn read(&mut self, item: PullItem) -> Result<(), PullError> {
        let new = item.events.partition_point(|event| event.seq <= self.seen);
        self.is_behind = item.info != PageInfo::CaughtUp;
        let mut events = Vec::with_capacity(item.events.len() - new);
        for event in &item.events[new..] {
            self.step(event)?;
            if event.seq > self.cursor.after {
                events.push(event.clone());
            }
        }
        if self.is_unproven {
            return if self.is_behind {
                Ok(())
            } else {
                Err(PullError::Diverged(format!("its log ends before {}", self.cursor.after)))
            };
        }
        let is_news = !events.is_empty()
            || self.told.is_none()
            || (!self.is_behind && self.told != Some(PageInfo::CaughtUp));
        if is_news {
            self.give(events, item.info, item.backend_id);
        }
        Ok(())
    }

    /// Goes on to the next event, and checks that it is.
    fn step(&mut self, event: &SyncedEvent) -> Result<(), PullError> {
        if event.parent != self.seen || Some(event.seq.0) != self.seen.0.checked_add(1) {
            let SyncedEvent { seq, parent, .. } = event;
            return Err(broken(&format!("{seq} with parent {parent} follows {}", self.seen)));
        }
        self.seen = event.seq;
        if event.seq == self.cursor.after && self.is_unproven {
            self.prove(event)?;
        }
        Ok(())
    }

    /// Checks that the event at the cursor is the one that the reader has.
    fn prove(&mut self, event: &SyncedEvent) -> Result<(), PullError> {
        if self.written_at.zip(event.created_at).is_some_and(|(known, found)| known != found) {
            return Err(PullError::Diverged(format!("it has another event at {}", event.seq)));
        }
        if let Some(backend_id) = &self.backend_id {
            self.cursor = cursor_at(event, backend_id);
        }
        self.is_unproven = false;
        Ok(())
    }

    fn give(&mut self, events: Vec<SyncedEvent>, info: PageInfo, backend_id: BackendId) {
        let after = self.cursor.after;
        if let Some(last) = events.last() {
            self.cursor = cursor_at(last, &backend_id);
        }
        let token = self.cursor.token.clone();
        self.pages.push_back(PullPage::new(after, events.into(), token, backend_id, info));
        self.told = Some(info);
    }
}

fn broken(why: &str) -> PullError {
    LiveStoreError::Protocol(why.to_owned()).pull()
}
