//! Small pushes to many logs wait together before they are sorted into the pages of their logs.
//!
//! A page of `events` belongs to one log, so a group of pushes to 64 logs writes 64 pages of it, however little each
//! push is. In `journal`, which has them in the order in which they came, they fill a few; what a commit costs no longer
//! grows with the number of logs it touches. After some thousand events the journal is sorted into `events`, many events
//! to a page.
//!
//! ```text
//!  small batches, many in one group ─► journal ─► when it is long, sorted ─► events
//!  all others ──────────────────────────────────────────────────────────────►
//! ```
//!
//! What is in the table is also here, in memory: readers merge it with `events` by number. Both tables change in one
//! transaction and this copy follows once that is durable, so for a moment an event may be seen in both places, but never
//! in neither: readers look here first.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use livestore_backend_log::{Batch, Changes, Head, LogNo, Recall, Tag};
use livestore_traits::{BoxError, GlobalSeq, SyncedEvent};
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::codec;
use crate::storage::EVENTS;

/// By arrival: log, number, record.
const JOURNAL: TableDefinition<'_, u64, (u32, u64, &[u8])> = TableDefinition::new("journal");

/// The events of the table `journal`.
#[derive(Debug, Default)]
pub(crate) struct Journal(RwLock<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// By log and number.
    events: BTreeMap<(u32, u64), (SyncedEvent, Tag)>,
    /// The key of the next row.
    next_row: u64,
}

/// What a transaction did to the table: to be done to [`Journal`] too once it is durable.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    sorted_in: bool,
    added: Vec<&'a Batch>,
}

impl Journal {
    /// Makes the table of a new file.
    pub(crate) fn create(txn: &WriteTransaction) -> Result<(), BoxError> {
        txn.open_table(JOURNAL)?;
        Ok(())
    }

    /// Reads what was waiting when the file was closed.
    pub(crate) fn load(database: &Database) -> Result<Self, BoxError> {
        let mut recall = Recall::default();
        let mut waiting = Waiting::default();
        for entry in database.begin_read()?.open_table(JOURNAL)?.iter()? {
            let (row, value) = entry?;
            let (log, seq, record) = value.value();
            waiting.events.insert((log, seq), codec::decode(GlobalSeq(seq), record, &mut recall)?);
            waiting.next_row = row.value() + 1;
        }
        Ok(Self(waiting.into()))
    }

    /// Writes each batch to the table where it costs least, and sorts in what has waited if that is much.
    pub(crate) fn write<'a>(
        &self,
        txn: &WriteTransaction,
        changes: &'a Changes,
    ) -> Result<Written<'a>, BoxError> {
        let waiting = self.waiting();
        let mut events = Records { table: txn.open_table(EVENTS)?, record: Vec::new() };
        let sorted_in = waiting.events.len() >= Changes::MAX_JOURNAL_EVENTS;
        if sorted_in {
            for ((log, _), (event, tag)) in &waiting.events {
                events.insert(*log, event, *tag)?;
            }
            txn.delete_table(JOURNAL)?;
        }
        let (added, others) = changes.scattered();
        for batch in others {
            for event in batch.events.iter() {
                events.insert(batch.log.0, event, batch.tag)?;
            }
        }
        let mut rows = txn.open_table(JOURNAL)?;
        let mut row = waiting.next_row;
        for batch in &added {
            for event in batch.events.iter() {
                let record = events.encode(event, batch.tag);
                rows.insert(row, (batch.log.0, event.seq.0, record))?;
                row += 1;
            }
        }
        drop(rows);
        Ok(Written { sorted_in, added })
    }

    /// The transaction of `written` is durable.
    pub(crate) fn follow(&self, written: Written<'_>) {
        let mut waiting = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if written.sorted_in {
            waiting.events.clear();
        }
        for batch in written.added {
            for event in batch.events.iter() {
                waiting.events.insert((batch.log.0, event.seq.0), (event.clone(), batch.tag));
                waiting.next_row += 1;
            }
        }
    }

    /// At most `limit` events in `(after, through]`, ascending.
    pub(crate) fn read(
        &self,
        log: LogNo,
        after: GlobalSeq,
        through: GlobalSeq,
        limit: usize,
    ) -> Vec<(SyncedEvent, Tag)> {
        let waiting = self.waiting();
        let range = waiting.events.range((log.0, after.next().0)..=(log.0, through.0));
        range.take(limit).map(|(_, event)| event.clone()).collect()
    }

    /// The last event of the log that waits.
    pub(crate) fn last(&self, log: LogNo) -> Option<Head> {
        let waiting = self.waiting();
        let ((_, seq), (_, tag)) = waiting.events.range((log.0, 0)..=(log.0, u64::MAX)).next_back()?;
        Some(Head { seq: GlobalSeq(*seq), tag: Some(*tag) })
    }

    /// The tag of an event that waits.
    pub(crate) fn tag(&self, log: LogNo, seq: GlobalSeq) -> Option<Tag> {
        self.waiting().events.get(&(log.0, seq.0)).map(|(_, tag)| *tag)
    }

    fn waiting(&self) -> RwLockReadGuard<'_, Waiting> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table `events` and a buffer for records.
struct Records<'txn> {
    table: Table<'txn, (u32, u64), &'static [u8]>,
    record: Vec<u8>,
}

impl Records<'_> {
    fn insert(&mut self, log: u32, event: &SyncedEvent, tag: Tag) -> Result<(), BoxError> {
        self.encode(event, tag);
        self.table.insert((log, event.seq.0), self.record.as_slice())?;
        Ok(())
    }

    fn encode(&mut self, event: &SyncedEvent, tag: Tag) -> &[u8] {
        self.record.clear();
        codec::encode(event, tag, &mut self.record);
        &self.record
    }
}

#[cfg(test)]
mod tests {
    use livestore_backend_log::{LogStorage, NewLog, PageBuilder};
    use livestore_conformance::backend::sample_events;
    use livestore_traits::{BackendId, Limits, StoreId};
    use tempfile::TempDir;

    use super::*;
    use crate::RedbConfig;
    use crate::storage::RedbStorage;

    const LOGS: u32 = 8;

    /// A storage and what each of its logs must hold: the tags of its events.
    struct Checked {
        dir: TempDir,
        storage: RedbStorage,
        tags: Vec<Vec<Tag>>,
    }

    impl Checked {
        fn new() -> Self {
            let dir = TempDir::new().unwrap();
            let storage = open(&dir);
            let created = (0..LOGS).map(|log| NewLog {
                log: LogNo(log),
                store: store(log),
                backend_id: BackendId::new("b").unwrap(),
            });
            storage.commit(&Changes { created: created.collect(), batches: Vec::new() }).unwrap();
            Self { dir, storage, tags: vec![Vec::new(); LOGS as usize] }
        }

        fn reopened(self) -> Self {
            let Self { dir, storage, tags } = self;
            drop(storage);
            Self { storage: open(&dir), dir, tags }
        }

        /// One group: to each of these logs a batch of so many events.
        fn commit(&mut self, group: impl IntoIterator<Item = (u32, usize)>) {
            let mut batches = Vec::new();
            for (log, count) in group {
                let tags = &mut self.tags[log as usize];
                let after = GlobalSeq(tags.len() as u64);
                let tag = Tag([log as u8 + 1, after.0 as u8, (after.0 >> 8) as u8, 0, 0, 0, 0, 0]);
                let events = sample_events("client", after, count).into();
                batches.push(Batch { log: LogNo(log), tag, events, owner: None });
                tags.resize(tags.len() + count, tag);
            }
            self.storage.commit(&Changes { created: Vec::new(), batches }).unwrap();
        }

        fn check(&self) {
            for (log, tags) in (0..).zip(&self.tags) {
                let head = GlobalSeq(tags.len() as u64);
                let found = self.storage.find(&store(log)).unwrap().unwrap();
                assert_eq!(found.head, Head { seq: head, tag: tags.last().copied() }, "log {log}");
                let mut after = GlobalSeq::ROOT;
                while after < head {
                    let mut page = PageBuilder::new(after, Limits { max_batch_events: 7, ..Limits::DEFAULT });
                    self.storage.read(LogNo(log), after, head, &mut page).unwrap();
                    // The builder refuses gaps and repeats.
                    let (events, end) = page.finish();
                    assert_eq!(end.seq.0, head.0.min(after.0 + 7), "log {log} after {after}");
                    for event in events {
                        let tag = self.storage.tag(LogNo(log), event.seq).unwrap();
                        assert_eq!(tag, Some(tags[event.seq.0 as usize - 1]), "log {log} at {}", event.seq);
                    }
                    after = end.seq;
                }
            }
        }
    }

    fn open(dir: &TempDir) -> RedbStorage {
        RedbStorage::open(&dir.path().join("test.redb"), &RedbConfig::default()).unwrap()
    }

    fn store(log: u32) -> StoreId {
        StoreId::new(format!("store-{log}")).unwrap()
    }

    #[test]
    fn a_log_reads_whole_wherever_its_events_are() {
        let mut checked = Checked::new();
        // Many small batches wait; few, and large ones, do not: the numbers of a log lie in both tables in turn.
        for group in 0..4 {
            checked.commit((0..LOGS).map(|log| (log, 1)));
            checked.commit([(group, 2), (group + 1, 1)]);
            checked.commit((0..LOGS).map(|log| (log, if log < 3 { 60 } else { 2 })));
        }
        let waiting = checked.storage.journal.waiting().events.len() as u32;
        assert_eq!(waiting, 4 * (LOGS + (LOGS - 3) * 2));
        checked.check();
        checked = checked.reopened();
        assert_eq!(checked.storage.journal.waiting().events.len() as u32, waiting);
        checked.commit((0..LOGS).map(|log| (log, 1)));
        checked.check();
    }

    #[test]
    fn what_has_waited_is_sorted_in_and_forgotten() {
        let mut checked = Checked::new();
        let groups = 2 * Changes::MAX_JOURNAL_EVENTS / (4 * LOGS as usize) + 3;
        for group in 0..groups {
            checked.commit((0..LOGS).map(|log| (log, 4)));
            assert!(
                checked.storage.journal.waiting().events.len()
                    < Changes::MAX_JOURNAL_EVENTS + 4 * LOGS as usize
            );
            if group == groups / 3 {
                checked = checked.reopened();
            }
        }
        assert!(checked.storage.journal.waiting().events.len() < 10 * 4 * LOGS as usize);
        checked.check();
        checked.reopened().check();
    }

    #[test]
    fn a_reader_that_sees_an_event_in_both_places_takes_it_once() {
        let mut checked = Checked::new();
        checked.commit((0..LOGS).map(|log| (log, 3)));
        // As in the moment after the commit that sorts in: the tables have changed, the copy in memory has not.
        let txn = checked.storage.database.begin_write().unwrap();
        let mut events = Records { table: txn.open_table(EVENTS).unwrap(), record: Vec::new() };
        for ((log, _), (event, tag)) in &checked.storage.journal.waiting().events {
            events.insert(*log, event, *tag).unwrap();
        }
        drop(events);
        txn.commit().unwrap();
        checked.check();
    }
}
