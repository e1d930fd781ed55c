//! The last events of an open store, shared by all that follow it.
//!
//! Live pulls read here and not in the storage: one accepted batch is one allocation, whoever reads it. The tail is a
//! cache of the log's end, bounded in bytes and the same for one reader as for a thousand; who falls behind it reads
//! from the storage. The tails of all logs have a bound together ([`Tails`]), so that ten thousand stores that were busy
//! once don't keep ten thousand full tails.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use livestore_traits::{GlobalSeq, Limits, SyncedEvent};

use crate::log::Log;
use crate::page::Stretch;
use crate::{Head, PageBuilder, Tag};

/// What was published lately, over all logs, oldest first.
#[derive(Debug)]
pub(crate) struct Tails {
    published: VecDeque<Published>,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Published {
    log: Weak<Log>,
    through: GlobalSeq,
    bytes: usize,
}

impl Tails {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self { published: VecDeque::new(), bytes: 0, max_bytes }
    }

    /// A batch was published; the oldest leave their tails for it.
    pub(crate) fn note(&mut self, log: &Arc<Log>, through: GlobalSeq, bytes: usize) {
        self.bytes += bytes;
        self.published.push_back(Published { log: Arc::downgrade(log), through, bytes });
        while self.bytes > self.max_bytes {
            let Some(oldest) = self.published.pop_front() else { return };
            self.bytes -= oldest.bytes;
            if let Some(log) = oldest.log.upgrade() {
                log.tail().forget(oldest.through);
            }
        }
    }
}

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

    /// Takes a batch that follows everything here. Returns its size.
    pub(crate) fn push(
        &mut self,
        after: GlobalSeq,
        events: &Arc<[SyncedEvent]>,
        end: Head,
        tag: Tag,
    ) -> usize {
        let bytes = events.iter().map(SyncedEvent::encoded_len).sum();
        self.bytes += bytes;
        self.batches.push_back(TailBatch {
            stretch: Stretch { after, events: events.clone(), end },
            tag,
            bytes,
        });
        while self.bytes > self.max_bytes && self.batches.len() > 1 {
            self.drop_oldest();
        }
        self.merged = None;
        bytes
    }

    /// Drops what stands up to `through`.
    fn forget(&mut self, through: GlobalSeq) {
        while self.batches.front().is_some_and(|oldest| oldest.stretch.end.seq <= through) {
            self.drop_oldest();
            self.merged = None;
        }
        // The room of a busy time is given back with its batches.
        if self.batches.is_empty() {
            self.batches = VecDeque::new();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.batches.pop_front() {
            self.bytes -= oldest.bytes;
        }
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

#[cfg(test)]
mod tests {
    use livestore_conformance::backend::sample_events;
    use livestore_traits::{BackendId, StoreId};

    use super::*;
    use crate::log::OpenLogs;
    use crate::{Batch, LogInfo, LogNo};

    /// Batches of these sizes, one after the other.
    fn tail(max_bytes: usize, sizes: &[usize]) -> Tail {
        let mut tail = Tail::new(max_bytes);
        let mut after = GlobalSeq::ROOT;
        for (index, size) in sizes.iter().enumerate() {
            let tag = Tag([index as u8; 8]);
            let end = Head { seq: GlobalSeq(after.0 + *size as u64), tag: Some(tag) };
            tail.push(after, &sample_events("client", after, *size).into(), end, tag);
            after = end.seq;
        }
        tail
    }

    fn numbers(stretch: &Stretch) -> Vec<u64> {
        stretch.events.iter().map(|event| event.seq.0).collect()
    }

    #[test]
    fn a_page_begins_anywhere_and_ends_at_the_limit() {
        let limits = Limits { max_batch_events: 4, ..Limits::DEFAULT };
        let mut tail = tail(usize::MAX, &[2, 3, 1]);
        for (after, expected, tag) in
            [(0, vec![1, 2, 3, 4], 1), (1, vec![2, 3, 4, 5], 1), (3, vec![4, 5, 6], 2), (5, vec![6], 2)]
        {
            let stretch = tail.read(GlobalSeq(after), &limits).unwrap();
            assert_eq!(numbers(&stretch), expected);
            assert_eq!(
                stretch.end,
                Head { seq: GlobalSeq(*expected.last().unwrap()), tag: Some(Tag([tag; 8])) }
            );
        }
        assert!(tail.read(GlobalSeq(6), &limits).is_none());
        assert_eq!(tail.tag(GlobalSeq::ROOT), None);
        let tags: Vec<_> = (1..=7).map(|seq| tail.tag(GlobalSeq(seq)).map(|tag| tag.0[0])).collect();
        assert_eq!(tags, [Some(0), Some(0), Some(1), Some(1), Some(1), Some(2), None]);
    }

    #[test]
    fn readers_at_one_place_share_one_page() {
        let limits = Limits::DEFAULT;
        let mut tail = tail(usize::MAX, &[2, 3]);
        for after in [0, 1, 2, 4] {
            let one = tail.read(GlobalSeq(after), &limits).unwrap();
            let two = tail.read(GlobalSeq(after), &limits).unwrap();
            assert!(Arc::ptr_eq(&one.events, &two.events), "after e{after}");
        }
        let before = tail.read(GlobalSeq(0), &limits).unwrap();
        let end = Head { seq: GlobalSeq(6), tag: Some(Tag([9; 8])) };
        tail.push(GlobalSeq(5), &sample_events("client", GlobalSeq(5), 1).into(), end, Tag([9; 8]));
        assert_eq!(before.events.len() + 1, tail.read(GlobalSeq(0), &limits).unwrap().events.len());
    }

    #[test]
    fn the_tails_of_all_logs_are_bounded_together() {
        let open = Arc::new(OpenLogs::default());
        let logs = ["a", "b"].map(|store| {
            let backend_id = BackendId::new(store).unwrap();
            let info = LogInfo { log: LogNo(0), backend_id, head: Head::default() };
            open.insert(StoreId::new(store).unwrap(), info, usize::MAX)
        });
        let batch_bytes = 2 * sample_events("client", GlobalSeq::ROOT, 1)[0].encoded_len();
        let mut tails = Tails::new(3 * batch_bytes);
        let mut publish = |log: &Arc<Log>, after: u64| {
            let tag = Tag([1; 8]);
            let events = sample_events("client", GlobalSeq(after), 2).into();
            let end = Head { seq: GlobalSeq(after + 2), tag: Some(tag) };
            let batch = Batch { log: log.no, tag, events, owner: None };
            let bytes = log.publish(&batch, end);
            tails.note(log, end.seq, bytes);
        };
        let has = |log: &Log, after| log.tail().read(GlobalSeq(after), &Limits::DEFAULT).is_some();
        let [a, b] = &logs;
        publish(a, 0);
        publish(b, 0);
        publish(a, 2);
        assert!(has(a, 0) && has(a, 2) && has(b, 0));
        publish(a, 4);
        assert!(!has(a, 0) && has(a, 2) && has(b, 0), "the oldest is gone");
        publish(a, 6);
        assert!(has(a, 2) && !has(b, 0), "though it was the last of its log");
    }

    #[test]
    fn the_tail_is_bounded_but_keeps_the_last_batch() {
        let event_bytes = sample_events("client", GlobalSeq::ROOT, 1)[0].encoded_len();
        let mut tail = tail(5 * event_bytes, &[2, 2, 2]);
        assert!(tail.read(GlobalSeq(1), &Limits::DEFAULT).is_none(), "the first batch is gone");
        assert_eq!(numbers(&tail.read(GlobalSeq(2), &Limits::DEFAULT).unwrap()), [3, 4, 5, 6]);
        let mut tail = self::tail(1, &[2, 3]);
        assert_eq!(numbers(&tail.read(GlobalSeq(2), &Limits::DEFAULT).unwrap()), [3, 4, 5]);
        assert!(tail.read(GlobalSeq(0), &Limits::DEFAULT).is_none());
    }
}
