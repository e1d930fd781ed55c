//! The last events of an open store, shared by all that follow it.
//!
//! Live pulls read here and not in the storage: one accepted batch is one allocation, whoever reads it. The tail is a
//! cache of the log's end, bounded in bytes and the same for one reader as for a thousand; who falls behind it reads
//! from the storage.

use std::collections::VecDeque;
use std::sync::Arc;

use livestore_traits::{GlobalSeq, Limits, SyncedEvent};

use crate::page::Stretch;
use crate::{Head, PageBuilder, Tag};

#[derive(Debug)]
pub(crate) struct Tail {
    batches: VecDeque<TailBatch>,
    bytes: usize,
    max_bytes: usize,
    /// The last page that was put together from several batches: readers that wait at the same place share it.
    merged: Option<Stretch>,
}

#[derive(Debug)]
struct TailBatch {
    stretch: Stretch,
    tag: Tag,
    bytes: usize,
}

impl Tail {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self { batches: VecDeque::new(), bytes: 0, max_bytes, merged: None }
    }

    /// Takes a batch that follows everything here.
    pub(crate) fn push(&mut self, after: GlobalSeq, events: &Arc<[SyncedEvent]>, end: Head, tag: Tag) {
        let bytes = events.iter().map(SyncedEvent::encoded_len).sum();
        self.bytes += bytes;
        self.batches.push_back(TailBatch {
            stretch: Stretch { after, events: events.clone(), end },
            tag,
            bytes,
        });
        while self.bytes > self.max_bytes && self.batches.len() > 1 {
            if let Some(oldest) = self.batches.pop_front() {
                self.bytes -= oldest.bytes;
            }
        }
        self.merged = None;
    }

    /// A page after `after`, if the tail reaches back that far and anything follows.
    pub(crate) fn read(&mut self, after: GlobalSeq, limits: &Limits) -> Option<Stretch> {
        let first = self.index_of(after)?;
        let next = self.batches.get(first + 1);
        let batch = &self.batches[first];
        if batch.stretch.after == after && next.is_none() {
            return Some(batch.stretch.clone());
        }
        if let Some(merged) = self.merged.as_ref().filter(|merged| merged.after == after) {
            return Some(merged.clone());
        }
        let merged = self.merge(first, after, limits);
        self.merged = Some(merged.clone());
        Some(merged)
    }

    /// The tag of the event at `seq`, if it is here.
    pub(crate) fn tag(&self, seq: GlobalSeq) -> Option<Tag> {
        let before = GlobalSeq(seq.0.checked_sub(1)?);
        self.index_of(before).map(|index| self.batches[index].tag)
    }

    /// The batch that holds the event after `after`.
    fn index_of(&self, after: GlobalSeq) -> Option<usize> {
        let index = self.batches.partition_point(|batch| batch.stretch.after <= after).checked_sub(1)?;
        (self.batches[index].stretch.end.seq > after).then_some(index)
    }

    fn merge(&self, first: usize, after: GlobalSeq, limits: &Limits) -> Stretch {
        let mut page = PageBuilder::new(after, *limits);
        'page: for batch in self.batches.range(first..) {
            for event in batch.stretch.events.iter().filter(|event| event.seq > after) {
                let more = page.push(event.clone(), batch.tag);
                if !more.expect("admitted batches are one chain") {
                    break 'page;
                }
            }
        }
        page.into_stretch()
    }
}
