//! Logs in a SQLite file: one connection writes, a few read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use livestore_backend_log::{
    Changes, CommitError, FileStorage, Head, LogInfo, LogNo, LogStorage, OpenError, PageBuilder, Recall, Tag,
};
use livestore_traits::{BackendId, BoxError, ClientId, ClientSecret, Durability, GlobalSeq, StoreId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::open::{self, InUse};
use crate::sqlite::SqliteConfig;
use crate::{codec, error};

/// Connections that are kept for reading; more are opened while more read at once.
const IDLE_READERS: usize = 4;

#[derive(Debug)]
pub(crate) struct SqliteStorage {
    // Fields are dropped in order: the connection that is closed last moves the WAL into the file, which readers may
    // not do, and until then the file is ours.
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Connection>,
    path: PathBuf,
    _in_use: InUse,
}

impl SqliteStorage {
    pub(crate) fn open(path: &Path, config: &SqliteConfig) -> Result<Self, OpenError> {
        let in_use = InUse::claim(path)?;
        let writer = open::writer(path)?;
        if let Some(max_bytes) = config.max_file_bytes {
            limit(&writer, max_bytes).map_err(|error| error::open_failed(path, error))?;
        }
        let readers = Mutex::default();
        Ok(Self { writer: Mutex::new(writer), readers, path: path.to_owned(), _in_use: in_use })
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, BoxError>) -> Result<T, BoxError> {
        let idle = lock(&self.readers).pop();
        let connection = idle.map_or_else(|| open::reader(&self.path), Ok)?;
        let result = read(&connection)?;
        // A connection whose read failed is not used again.
        let mut readers = lock(&self.readers);
        if readers.len() < IDLE_READERS {
            readers.push(connection);
        }
        Ok(result)
    }

    fn write(&self, changes: &Changes) -> rusqlite::Result<()> {
        let mut connection = lock(&self.writer);
        let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for new in &changes.created {
            let mut insert =
                txn.prepare_cached("INSERT INTO stores (log, store, backend_id) VALUES (?1, ?2, ?3)")?;
            insert.execute((new.log.0, new.store.as_str(), new.backend_id.as_str()))?;
        }
        append(&txn, changes)?;
        for batch in &changes.batches {
            if let Some(owner) = &batch.owner {
                let mut insert =
                    txn.prepare_cached("INSERT INTO owners (log, client_id, secret) VALUES (?1, ?2, ?3)")?;
                insert.execute((batch.log.0, owner.client_id.as_str(), owner.secret.0))?;
            }
        }
        txn.commit()
    }
}

/// Writes each batch to the table where it costs least. `events` has a log's events side by side, so that every batch
/// changes a page of its own there; in the journal small ones share pages. What has waited there is sorted in once that
/// is much.
fn append(txn: &Transaction<'_>, changes: &Changes) -> rusqlite::Result<()> {
    let (scattered, others) = changes.scattered();
    if !scattered.is_empty() {
        // Rows are numbered from 1 again after each sorting in.
        let mut waiting = txn.prepare_cached("SELECT coalesce(max(row), 0) FROM journal")?;
        if waiting.query_row((), |row| row.get::<_, u32>(0))? as usize >= Changes::MAX_JOURNAL_EVENTS {
            txn.execute_batch(codec::SORT_IN)?;
        }
    }
    for (sql, batches) in [(codec::INSERT_JOURNAL, scattered), (codec::INSERT, others)] {
        let mut insert = txn.prepare_cached(sql)?;
        for batch in batches {
            for event in batch.events.iter() {
                codec::insert(&mut insert, batch.log.0, event, batch.tag)?;
            }
        }
    }
    Ok(())
}

/// Whether events of the log are in the journal.
fn is_waiting(connection: &Connection, log: LogNo) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM journal WHERE log = ?1 LIMIT 1")?.exists([log.0])
}

fn limit(connection: &Connection, max_bytes: u64) -> rusqlite::Result<()> {
    let page_size: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    // The pragma answers with the limit that is in force.
    let pages = u32::try_from(max_bytes / u64::from(page_size)).unwrap_or(u32::MAX - 1).max(1);
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

impl LogStorage for SqliteStorage {
    const NAME: &'static str = "sqlite";
    const DURABILITY: Durability = Durability::Disk;
    const READS_BLOCK: bool = true;

    fn next_log(&self) -> Result<LogNo, BoxError> {
        self.read(|connection| {
            let next = "SELECT coalesce(max(log) + 1, 0) FROM stores";
            Ok(LogNo(connection.query_row(next, (), |row| row.get(0))?))
        })
    }

    fn find(&self, store: &StoreId) -> Result<Option<LogInfo>, BoxError> {
        self.read(|connection| {
            let mut found =
                connection.prepare_cached("SELECT log, backend_id FROM stores WHERE store = ?1")?;
            let found = found.query_row([store.as_str()], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
            let Some((log, backend_id)) = found.optional()? else { return Ok(None) };
            let head = "
                SELECT * FROM (SELECT seq, tag FROM events WHERE log = ?1 ORDER BY seq DESC LIMIT 1) UNION ALL
                SELECT * FROM (SELECT seq, tag FROM journal WHERE log = ?1 ORDER BY seq DESC LIMIT 1)
                ORDER BY seq DESC LIMIT 1";
            let mut head = connection.prepare_cached(head)?;
            let head = head.query_row([log], |row| {
                Ok(Head { seq: GlobalSeq(codec::number(row, 0)?), tag: Some(Tag(row.get(1)?)) })
            });
            let head = head.optional()?.unwrap_or_default();
            Ok(Some(LogInfo { log: LogNo(log), backend_id: BackendId::new(backend_id)?, head }))
        })
    }

    fn commit(&self, changes: &Changes) -> Result<(), CommitError> {
        self.write(changes).map_err(error::commit_failed)
    }

    fn read(
        &self,
        log: LogNo,
        after: GlobalSeq,
        through: GlobalSeq,
        page: &mut PageBuilder,
    ) -> Result<(), BoxError> {
        self.read(|connection| {
            let mut recall = Recall::default();
            // An event up to `through` that does not wait now was sorted in, or never waited: merging would find nothing.
            let sql = if is_waiting(connection, log)? { codec::SELECT } else { codec::SELECT_SORTED };
            let mut select = connection.prepare_cached(sql)?;
            let mut rows = select.query((log.0, after.0.cast_signed(), through.0.cast_signed()))?;
            while let Some(row) = rows.next()? {
                let (event, tag) = codec::decode(row, &mut recall)?;
                if !page.push(event, tag)? {
                    break;
                }
            }
            Ok(())
        })
    }

    fn tag(&self, log: LogNo, seq: GlobalSeq) -> Result<Option<Tag>, BoxError> {
        self.read(|connection| {
            let select = "
                SELECT tag FROM events WHERE log = ?1 AND seq = ?2 UNION ALL
                SELECT tag FROM journal WHERE log = ?1 AND seq = ?2";
            let mut select = connection.prepare_cached(select)?;
            let tag = select.query_row((log.0, seq.0.cast_signed()), |row| row.get(0));
            Ok(tag.optional()?.map(Tag))
        })
    }

    fn owner(&self, log: LogNo, client_id: &ClientId) -> Result<Option<ClientSecret>, BoxError> {
        self.read(|connection| {
            let select = "SELECT secret FROM owners WHERE log = ?1 AND client_id = ?2";
            let mut select = connection.prepare_cached(select)?;
            let secret = select.query_row((log.0, client_id.as_str()), |row| row.get(0));
            Ok(secret.optional()?.map(ClientSecret))
        })
    }
}

impl FileStorage for SqliteStorage {
    const FILE_NAME: &'static str = "livestore.sqlite";

    fn copy(from: &Path, to: &Path) -> Result<(), BoxError> {
        fs::copy(from, to)?;
        // What was not yet moved into the file stands in its WAL.
        let wal = open::with_suffix(from, "-wal");
        if wal.exists() {
            fs::copy(wal, open::with_suffix(to, "-wal"))?;
        }
        Ok(())
    }

    fn open_copy(path: &Path) -> Result<Self, BoxError> {
        let storage = Self::open(path, &SqliteConfig::default())?;
        let problem: String =
            lock(&storage.writer).query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))?;
        if problem != "ok" {
            return Err(problem.into());
        }
        Ok(storage)
    }

    fn stores(&self) -> Result<Vec<StoreId>, BoxError> {
        self.read(|connection| {
            let mut select = connection.prepare("SELECT store FROM stores ORDER BY log")?;
            let stores = select.query_map((), |row| row.get::<_, String>(0))?;
            stores.map(|store| Ok(StoreId::new(store?)?)).collect()
        })
    }

    fn rename(&self, ids: &[(StoreId, BackendId)]) -> Result<(), BoxError> {
        let mut connection = lock(&self.writer);
        let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (store, backend_id) in ids {
            let renamed = txn.execute(
                "UPDATE stores SET backend_id = ?2 WHERE store = ?1",
                (store.as_str(), backend_id.as_str()),
            )?;
            if renamed != 1 {
                return Err(format!("there is no store {store}").into());
            }
        }
        Ok(txn.commit()?)
    }

    fn close(self) -> Result<(), BoxError> {
        lock(&self.readers).clear();
        Ok(open::checkpoint(&lock(&self.writer))?)
    }
}

/// Locks; a connection rolls back what a panic interrupted.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
