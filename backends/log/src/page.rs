//! How events become a page: as many as fit, one unbroken chain.

use std::sync::Arc;

use livestore_traits::{BoxError, GlobalSeq, Limits, SyncedEvent};

use crate::{Head, Tag};

/// A stretch of the log after `after`; with no events it says that nothing follows.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) after: GlobalSeq,
    pub(crate) events: Arc<[SyncedEvent]>,
    /// The last event of the stretch and its tag.
    pub(crate) end: Head,
}

/// Takes events that a storage reads, up to the limits of a page. At least one is taken, however large.
#[derive(Debug)]
pub struct PageBuilder {
    limits: Limits,
    after: GlobalSeq,
    events: Vec<SyncedEvent>,
    bytes: usize,
    end: Head,
}

impl PageBuilder {
    /// A page of the events after `after`.
    #[must_use]
    pub fn new(after: GlobalSeq, limits: Limits) -> Self {
        Self { limits, after, events: Vec::new(), bytes: 0, end: Head { seq: after, tag: None } }
    }

    /// How many events can still be taken, for storages that reserve room.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limits.max_batch_events.max(1) - self.events.len()
    }

    /// Takes the next event; `false` if it did not fit and reading should end.
    ///
    /// # Errors
    /// If the event does not follow the one before: the stored log is damaged.
    pub fn push(&mut self, event: SyncedEvent, tag: Tag) -> Result<bool, BoxError> {
        if event.parent != self.end.seq || event.seq <= event.parent {
            return Err(format!(
                "{} with parent {} is stored after {}",
                event.seq, event.parent, self.end.seq
            )
            .into());
        }
        let bytes = self.bytes + event.encoded_len();
        if !self.events.is_empty() && (self.room() == 0 || bytes > self.limits.max_batch_bytes) {
            return Ok(false);
        }
        self.bytes = bytes;
        self.end = Head { seq: event.seq, tag: Some(tag) };
        self.events.push(event);
        Ok(self.room() > 0)
    }

    /// The events taken so far and the place where they end.
    #[must_use]
    pub fn finish(self) -> (Vec<SyncedEvent>, Head) {
        (self.events, self.end)
    }

    pub(crate) fn into_stretch(self) -> Stretch {
        Stretch { after: self.after, events: self.events.into(), end: self.end }
    }
}
