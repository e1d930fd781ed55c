//! Logs in a redb file.

use std::fs::{self, OpenOptions};
use std::ops::RangeInclusive;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use livestore_backend_log::{
    Batch, Changes, CommitError, FileStorage, Head, LogInfo, LogNo, LogStorage, NewLog, OpenError,
    PageBuilder, Recall, Tag,
};
use livestore_redb_file::clear_unfinished;
use livestore_traits::{BackendId, BoxError, ClientId, ClientSecret, Durability, GlobalSeq, StoreId};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError,
    TableDefinition, WriteTransaction,
};

use crate::journal::Journal;
use crate::redb::RedbConfig;
use crate::{codec, error};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const STORES: TableDefinition<'_, &str, (u32, &str)> = TableDefinition::new("stores");
pub(crate) const EVENTS: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("events");
const OWNERS: TableDefinition<'_, (u32, &str), [u8; 16]> = TableDefinition::new("owners");

/// The key of the layout's version in `meta`.
const FORMAT: &str = "format";
const FORMAT_VERSION: u64 = 1;

#[derive(Debug)]
pub(crate) struct RedbStorage {
    pub(crate) database: Database,
    pub(crate) journal: Journal,
    fast_restart: bool,
}

impl RedbStorage {
    /// Opens the file at `path`, and creates it if there is none.
    pub(crate) fn open(path: &Path, config: &RedbConfig) -> Result<Self, OpenError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| OpenError::io(path, error))?;
        let device = FileBackend::new(file).map_err(|error| error::open_failed(path, error))?;
        Self::open_on(device, path, config)
    }

    /// As [`Self::open`], on a device of one's own.
    pub(crate) fn open_device(device: impl StorageBackend, config: &RedbConfig) -> Result<Self, OpenError> {
        Self::open_on(device, Path::new("device"), config)
    }

    fn open_on(device: impl StorageBackend, path: &Path, config: &RedbConfig) -> Result<Self, OpenError> {
        let mut builder = Builder::new();
        builder.set_cache_size(config.cache_bytes);
        Self::open_with(path, config, || {
            clear_unfinished(&device).map_err(StorageError::Io)?;
            builder.create_with_backend(device)
        })
    }

    fn open_with(
        path: &Path,
        config: &RedbConfig,
        open: impl FnOnce() -> Result<Database, DatabaseError>,
    ) -> Result<Self, OpenError> {
        // redb trusts the pages of its file and may panic over a damaged one.
        let whole = AssertUnwindSafe(|| {
            let database = open().map_err(|error| error::open_failed(path, error))?;
            let unusable = |error| error::unusable(path, error);
            let found = prepare(&database).map_err(unusable)?;
            if found != FORMAT_VERSION {
                return Err(OpenError::Format { path: path.to_owned(), found, supported: FORMAT_VERSION });
            }
            let journal = Journal::load(&database).map_err(unusable)?;
            Ok(Self { database, journal, fast_restart: config.fast_restart })
        });
        panic::catch_unwind(whole)
            .unwrap_or_else(|_| Err(OpenError::damaged(path, "its pages make no sense")))
    }

    fn write(&self, changes: &Changes) -> Result<(), BoxError> {
        let mut txn = self.database.begin_write()?;
        txn.set_quick_repair(self.fast_restart);
        create(&txn, &changes.created)?;
        if changes.batches.is_empty() {
            return Ok(txn.commit()?);
        }
        let written = self.journal.write(&txn, changes)?;
        own(&txn, &changes.batches)?;
        txn.commit()?;
        self.journal.follow(written);
        Ok(())
    }
}

/// Makes the tables of a new file; the format of any file.
fn prepare(database: &Database) -> Result<u64, BoxError> {
    let txn = database.begin_write()?;
    let mut meta = txn.open_table(META)?;
    let found = meta.get(FORMAT)?.map(|version| version.value());
    if let Some(found) = found {
        return Ok(found);
    }
    meta.insert(FORMAT, FORMAT_VERSION)?;
    drop(meta);
    txn.open_table(STORES)?;
    txn.open_table(EVENTS)?;
    txn.open_table(OWNERS)?;
    Journal::create(&txn)?;
    txn.commit()?;
    Ok(FORMAT_VERSION)
}

fn create(txn: &WriteTransaction, created: &[NewLog]) -> Result<(), BoxError> {
    if created.is_empty() {
        return Ok(());
    }
    let mut stores = txn.open_table(STORES)?;
    for new in created {
        stores.insert(new.store.as_str(), (new.log.0, new.backend_id.as_str()))?;
    }
    Ok(())
}

fn own(txn: &WriteTransaction, batches: &[Batch]) -> Result<(), BoxError> {
    if batches.iter().all(|batch| batch.owner.is_none()) {
        return Ok(());
    }
    let mut owners = txn.open_table(OWNERS)?;
    for batch in batches {
        if let Some(owner) = &batch.owner {
            owners.insert((batch.log.0, owner.client_id.as_str()), owner.secret.0)?;
        }
    }
    Ok(())
}

const fn whole_log(log: LogNo) -> RangeInclusive<(u32, u64)> {
    (log.0, 0)..=(log.0, u64::MAX)
}

impl LogStorage for RedbStorage {
    const NAME: &'static str = "redb";
    const DURABILITY: Durability = Durability::Disk;
    const READS_BLOCK: bool = true;

    fn next_log(&self) -> Result<LogNo, BoxError> {
        let stores = self.database.begin_read()?.open_table(STORES)?;
        let mut next = 0;
        for entry in stores.iter()? {
            next = next.max(entry?.1.value().0 + 1);
        }
        Ok(LogNo(next))
    }

    fn find(&self, store: &StoreId) -> Result<Option<LogInfo>, BoxError> {
        let txn = self.database.begin_read()?;
        let stores = txn.open_table(STORES)?;
        let Some(entry) = stores.get(store.as_str())? else { return Ok(None) };
        let (log, backend_id) = entry.value();
        let (log, backend_id) = (LogNo(log), BackendId::new(backend_id)?);
        let sorted = match txn.open_table(EVENTS)?.range(whole_log(log))?.next_back() {
            None => Head::default(),
            Some(entry) => {
                let (key, record) = entry?;
                Head { seq: GlobalSeq(key.value().1), tag: Some(codec::decode_tag(record.value())?) }
            }
        };
        let head = self.journal.last(log).filter(|waiting| waiting.seq > sorted.seq).unwrap_or(sorted);
        Ok(Some(LogInfo { log, backend_id, head }))
    }

    fn commit(&self, changes: &Changes) -> Result<(), CommitError> {
        // Whatever fails, redb refuses to go on after an I/O error until the file is opened again.
        self.write(changes).map_err(CommitError::Failed)
    }

    fn read(
        &self,
        log: LogNo,
        after: GlobalSeq,
        through: GlobalSeq,
        page: &mut PageBuilder,
    ) -> Result<(), BoxError> {
        let mut waiting = self.journal.read(log, after, through, page.room()).into_iter().peekable();
        let events = self.database.begin_read()?.open_table(EVENTS)?;
        let mut recall = Recall::default();
        for entry in events.range((log.0, after.next().0)..=(log.0, through.0))? {
            let (key, record) = entry?;
            let seq = GlobalSeq(key.value().1);
            while let Some((event, tag)) = waiting.next_if(|(event, _)| event.seq <= seq) {
                // One that was sorted in meanwhile stands here too.
                if event.seq < seq && !page.push(event, tag)? {
                    return Ok(());
                }
            }
            let (event, tag) = codec::decode(seq, record.value(), &mut recall)?;
            if !page.push(event, tag)? {
                return Ok(());
            }
        }
        for (event, tag) in waiting {
            if !page.push(event, tag)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn tag(&self, log: LogNo, seq: GlobalSeq) -> Result<Option<Tag>, BoxError> {
        if let Some(tag) = self.journal.tag(log, seq) {
            return Ok(Some(tag));
        }
        let events = self.database.begin_read()?.open_table(EVENTS)?;
        let record = events.get((log.0, seq.0))?;
        record.map(|record| codec::decode_tag(record.value())).transpose()
    }

    fn owner(&self, log: LogNo, client_id: &ClientId) -> Result<Option<ClientSecret>, BoxError> {
        let owners = self.database.begin_read()?.open_table(OWNERS)?;
        Ok(owners.get((log.0, client_id.as_str()))?.map(|secret| ClientSecret(secret.value())))
    }
}

impl FileStorage for RedbStorage {
    const FILE_NAME: &'static str = "livestore.redb";

    fn copy(from: &Path, to: &Path) -> Result<(), BoxError> {
        fs::copy(from, to)?;
        Ok(())
    }

    fn open_copy(path: &Path) -> Result<Self, BoxError> {
        let config = RedbConfig::default();
        let mut builder = Builder::new();
        builder.set_cache_size(config.cache_bytes);
        let checked = || {
            let mut database = builder.open(path)?;
            // The copy may have been made while a server wrote: no page of it is trusted. What the check repairs is
            // free space; a damaged page is an error.
            database.check_integrity()?;
            Ok(database)
        };
        Ok(Self::open_with(path, &config, checked)?)
    }

    fn stores(&self) -> Result<Vec<StoreId>, BoxError> {
        let stores = self.database.begin_read()?.open_table(STORES)?;
        stores.iter()?.map(|entry| Ok(StoreId::new(entry?.0.value())?)).collect()
    }

    fn rename(&self, ids: &[(StoreId, BackendId)]) -> Result<(), BoxError> {
        let txn = self.database.begin_write()?;
        let mut stores = txn.open_table(STORES)?;
        for (store, backend_id) in ids {
            let log = stores.get(store.as_str())?.map(|entry| entry.value().0);
            let log = log.ok_or_else(|| format!("there is no store {store}"))?;
            stores.insert(store.as_str(), (log, backend_id.as_str()))?;
        }
        drop(stores);
        txn.commit()?;
        Ok(())
    }

    fn close(self) -> Result<(), BoxError> {
        drop(self.database);
        Ok(())
    }
}
