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
    /// How many events end with a unit, and where.
    whole: (usize, Head),
}

impl PageBuilder {
    /// A page of the events after `after`.
    #[must_use]
    pub fn new(after: GlobalSeq, limits: Limits) -> Self {
        Self {
            limits,
            after,
            events: Vec::new(),
            bytes: 0,
            end: Head { seq: after, tag: None },
            whole: (0, Head { seq: after, tag: None }),
        }
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
        let ends_unit = event.unit_end;
        self.events.push(event);
        if ends_unit {
            self.whole = (self.events.len(), self.end);
        }
        Ok(self.room() > 0)
    }

    /// How many events can still be taken.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limits.max_batch_events.max(1) - self.events.len()
    }

    /// The events taken so far and the place where they end.
    #[must_use]
    pub fn finish(self) -> (Vec<SyncedEvent>, Head) {
        (self.events, self.end)
    }

    /// The events taken so far up to the end of a unit, which a reader then has whole. A unit is no larger than a push, nor
    /// a push than a page; one that does not end all the same is cut.
    pub(crate) fn into_stretch(mut self) -> Stretch {
        let (len, end) = match self.whole {
            (0, _) => (self.events.len(), self.end),
            whole => whole,
        };
        self.events.truncate(len);
        Stretch { after: self.after, events: self.events.into(), end }
    }
}

#[cfg(test)]
mod tests {
    use livestore_conformance::backend::sample_events;

    use super::*;

    #[test]
    fn a_page_ends_with_a_unit() {
        let mut events = sample_events("client", GlobalSeq::ROOT, 5);
        events[3].unit_end = false;
        let mut page = PageBuilder::new(GlobalSeq::ROOT, Limits { max_batch_events: 4, ..Limits::DEFAULT });
        for event in &events[..4] {
            page.push(event.clone(), Tag([event.seq.0 as u8; 8])).unwrap();
        }
        let stretch = page.into_stretch();
        assert_eq!(stretch.events.len(), 3);
        assert_eq!((stretch.end.seq, stretch.end.tag), (GlobalSeq(3), Some(Tag([3; 8]))));
    }

    #[test]
    fn an_event_out_of_place_is_an_error_and_not_a_gap() {
        let events = sample_events("client", GlobalSeq::ROOT, 3);
        let mut page = PageBuilder::new(GlobalSeq::ROOT, Limits::DEFAULT);
        assert!(page.push(events[0].clone(), Tag([0; 8])).unwrap());
        assert!(page.push(events[2].clone(), Tag([0; 8])).is_err());
        assert!(page.push(events[0].clone(), Tag([0; 8])).is_err());
        assert!(page.push(events[1].clone(), Tag([1; 8])).unwrap());
        let (taken, end) = page.finish();
        assert_eq!(taken, events[..2]);
        assert_eq!(end, Head { seq: GlobalSeq(2), tag: Some(Tag([1; 8])) });
    }

    #[test]
    fn a_page_ends_at_its_limits_and_takes_at_least_one_event() {
        let events = sample_events("client", GlobalSeq::ROOT, 3);
        let bytes = events[0].encoded_len();
        for (max_batch_events, max_batch_bytes, expected) in
            [(2, usize::MAX, 2), (9, 2 * bytes, 2), (9, 1, 1)]
        {
            let limits = Limits { max_batch_events, max_batch_bytes, ..Limits::DEFAULT };
            let mut page = PageBuilder::new(GlobalSeq::ROOT, limits);
            for event in &events {
                if !page.push(event.clone(), Tag([0; 8])).unwrap() {
                    break;
                }
            }
            assert_eq!(page.finish().0.len(), expected);
        }
    }
}
