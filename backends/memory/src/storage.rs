//! Logs in memory: the accepted batches as they came.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use livestore_backend_log::{
    Batch, Changes, CommitError, Head, LogInfo, LogNo, LogStorage, NewLog, PageBuilder, Tag,
};
use livestore_traits::{BoxError, ClientId, ClientSecret, Durability, GlobalSeq, StoreId, SyncedEvent};

#[derive(Debug, Default)]
pub(crate) struct MemoryStorage(RwLock<Logs>);

#[derive(Debug, Default)]
struct Logs {
    stores: HashMap<StoreId, NewLog>,
    /// By number.
    logs: BTreeMap<LogNo, LogData>,
}

#[derive(Debug, Default)]
struct LogData {
    /// Batches with the number of their last event, ascending.
    batches: Vec<(GlobalSeq, Tag, Arc<[SyncedEvent]>)>,
    owners: HashMap<ClientId, ClientSecret>,
}

impl LogData {
    fn append(&mut self, batch: &Batch) {
        if let Some(last) = batch.events.last() {
            self.batches.push((last.seq, batch.tag, batch.events.clone()));
        }
        if let Some(owner) = &batch.owner {
            self.owners.insert(owner.client_id.clone(), owner.secret);
        }
    }

    fn head(&self) -> Head {
        self.batches.last().map_or_else(Head::default, |(seq, tag, _)| Head { seq: *seq, tag: Some(*tag) })
    }

    /// The batches that hold the events from `seq` on.
    fn from(&self, seq: GlobalSeq) -> &[(GlobalSeq, Tag, Arc<[SyncedEvent]>)] {
        &self.batches[self.batches.partition_point(|(last, ..)| *last < seq)..]
    }
}

impl MemoryStorage {
    fn logs(&self) -> RwLockReadGuard<'_, Logs> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogStorage for MemoryStorage {
    const NAME: &'static str = "memory";
    const DURABILITY: Durability = Durability::Memory;
    const READS_BLOCK: bool = false;

    fn next_log(&self) -> Result<LogNo, BoxError> {
        Ok(self.logs().logs.last_key_value().map_or(LogNo(0), |(last, _)| LogNo(last.0 + 1)))
    }

    fn find(&self, store: &StoreId) -> Result<Option<LogInfo>, BoxError> {
        let logs = self.logs();
        let Some(new) = logs.stores.get(store) else { return Ok(None) };
        let head = logs.logs.get(&new.log).map_or_else(Head::default, LogData::head);
        Ok(Some(LogInfo { log: new.log, backend_id: new.backend_id.clone(), head }))
    }

    fn commit(&self, changes: &Changes) -> Result<(), CommitError> {
        let mut logs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for new in &changes.created {
            logs.logs.insert(new.log, LogData::default());
            logs.stores.insert(new.store.clone(), new.clone());
        }
        for batch in &changes.batches {
            logs.logs.entry(batch.log).or_default().append(batch);
        }
        Ok(())
    }

    fn read(
        &self,
        log: LogNo,
        after: GlobalSeq,
        through: GlobalSeq,
        page: &mut PageBuilder,
    ) -> Result<(), BoxError> {
        let logs = self.logs();
        let Some(data) = logs.logs.get(&log) else { return Ok(()) };
        for (_, tag, events) in data.from(after.next()) {
            for event in events.iter().filter(|event| event.seq > after) {
                if event.seq > through || !page.push(event.clone(), *tag)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn tag(&self, log: LogNo, seq: GlobalSeq) -> Result<Option<Tag>, BoxError> {
        let logs = self.logs();
        Ok(logs.logs.get(&log).and_then(|data| data.from(seq).first()).map(|(_, tag, _)| *tag))
    }

    fn owner(&self, log: LogNo, client_id: &ClientId) -> Result<Option<ClientSecret>, BoxError> {
        let logs = self.logs();
        Ok(logs.logs.get(&log).and_then(|data| data.owners.get(client_id).copied()))
    }
}
