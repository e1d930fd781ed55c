//! Applies events to a state and takes them back.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use livestore_traits::{
    Applied, MaterializeBatch, MaterializeError, Materializer, Quarantined, SeqNum, Snapshot,
};

use crate::database::{Database, FileUse, stored_definitions};
use crate::guard::Mode;
use crate::ledger::{Heads, Ledger};
use crate::schema::SqliteSchema;
use crate::snapshot;
use crate::step::{Isolation, Step, Stop, Transaction};
use crate::view::SqliteView;

/// Settled events in one batch from which on it counts as a catch-up.
const CATCH_UP_EVENTS: usize = 256;

/// How a state is kept.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    log: Arc<str>,
    forks_in: Option<PathBuf>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { log: "default".into(), forks_in: None }
    }
}

impl SqliteOptions {
    /// The default: one log, forks in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the log that feeds the state; its head and undo data are stored under this name.
    #[must_use]
    pub fn log(mut self, name: impl Into<Arc<str>>) -> Self {
        self.log = name.into();
        self
    }

    /// Keeps the states of sessions ([`Materializer::fork`]) in files in this directory, which are removed when the
    /// session ends. Without it they are in memory.
    #[must_use]
    pub fn forks_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.forks_in = Some(directory.into());
        self
    }

    /// Opens the state in the file at `path`, or creates it.
    ///
    /// If other definitions made it, it is emptied: its head is the root, and the engine replays the log. A replay that
    /// is interrupted goes on where it was.
    ///
    /// # Errors
    /// [`MaterializeError::Storage`] if the file cannot be opened, another process has it open, or it belongs to another
    /// application; [`MaterializeError::Corrupt`] if it is damaged: see [`SqliteMaterializer::discard`].
    pub fn open(
        self,
        path: impl AsRef<Path>,
        schema: SqliteSchema,
    ) -> Result<SqliteMaterializer, MaterializeError> {
        SqliteMaterializer::new(Database::open(path.as_ref(), schema, FileUse::Kept)?, self, None)
    }

    /// An empty state for a session.
    pub(crate) fn scratch(&self, schema: SqliteSchema) -> Result<SqliteMaterializer, MaterializeError> {
        let options = self.clone();
        match &self.forks_in {
            None => options.in_memory(schema),
            Some(directory) => {
                let file = TemporaryFile::new(directory);
                let database = Database::open(&file.0, schema, FileUse::Scratch)?;
                file.hide();
                SqliteMaterializer::new(database, options, Some(file))
            }
        }
    }

    /// An empty state in memory.
    ///
    /// # Errors
    /// [`MaterializeError::Storage`] if there is no memory for it.
    pub fn in_memory(self, schema: SqliteSchema) -> Result<SqliteMaterializer, MaterializeError> {
        SqliteMaterializer::new(Database::in_memory(schema)?, self, None)
    }
}

/// A state in SQLite.
///
/// It builds on nothing but what was applied: the head and the undo data are in the same file as the state.
#[derive(Debug)]
pub struct SqliteMaterializer {
    view: SqliteView,
    options: SqliteOptions,
    /// What the books say; `None` after a failure, until they are read again.
    heads: Option<Heads>,
    /// Last, so that the file is closed before it is removed.
    _file: Option<TemporaryFile>,
}

impl SqliteMaterializer {
    /// Opens the state in the file at `path`, or creates it, with default options.
    ///
    /// # Errors
    /// As [`SqliteOptions::open`].
    pub fn open(path: impl AsRef<Path>, schema: SqliteSchema) -> Result<Self, MaterializeError> {
        SqliteOptions::new().open(path, schema)
    }

    /// An empty state in memory, with default options.
    ///
    /// # Errors
    /// As [`SqliteOptions::in_memory`].
    pub fn in_memory(schema: SqliteSchema) -> Result<Self, MaterializeError> {
        SqliteOptions::new().in_memory(schema)
    }

    /// Removes a state's files, for example after [`MaterializeError::Corrupt`]: it can be rebuilt from the log.
    ///
    /// # Errors
    /// The error of the file system. Files that are not there are none.
    pub fn discard(path: impl AsRef<Path>) -> std::io::Result<()> {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut file = path.as_ref().as_os_str().to_owned();
            file.push(suffix);
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn new(
        database: Database,
        options: SqliteOptions,
        file: Option<TemporaryFile>,
    ) -> Result<Self, MaterializeError> {
        let mut materializer = Self { view: SqliteView { database }, options, heads: None, _file: file };
        materializer.load()?;
        Ok(materializer)
    }

    /// Reads the books, after the state was opened or replaced.
    fn load(&mut self) -> Result<(), MaterializeError> {
        self.heads = None;
        let database = &self.view.database;
        let _own = database.own();
        let ledger = self.ledger();
        database.guard.set_next_undo(ledger.end_undo()?.unwrap_or(1));
        self.heads = Some(ledger.heads()?);
        Ok(())
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger { connection: &self.view.database.connection, log: &self.options.log }
    }

    fn heads(&self) -> Result<Heads, MaterializeError> {
        match self.heads {
            Some(heads) => Ok(heads),
            None => {
                let _own = self.view.database.own();
                self.ledger().heads()
            }
        }
    }

    /// Applies `batch` in one transaction, or leaves everything as it was.
    fn attempt(
        &self,
        batch: &MaterializeBatch<'_>,
        heads: Heads,
        isolation: Isolation,
    ) -> Result<(Applied, Heads), Stop> {
        let database = &self.view.database;
        let _own = database.own();
        database.set_catching_up(is_catch_up(batch))?;
        let transaction = Transaction::begin(database)?;
        let mut step = Step::new(database, self.ledger(), batch.on_failure, isolation);
        let mut next = heads;
        if let Some(to) = batch.rollback_to {
            step.roll_back(to.position())?;
            next.head = to;
        }
        for (index, event) in batch.events.iter().enumerate() {
            let is_settled = event.num.position() <= batch.settled;
            step.apply(index, event, !is_settled)?;
            next.head = event.num;
        }
        // Settled events are never ahead of the state, so neither is the place that it can be undone to.
        next.floor = next.floor.max(batch.settled.min(next.head.position()));
        if next.floor != heads.floor {
            step.forget_through(next.floor)?;
        }
        if next != heads {
            step.ledger.set_heads(&next)?;
        }
        transaction.commit()?;
        Ok((step.finish(), next))
    }
}

impl Materializer for SqliteMaterializer {
    fn head(&self) -> Result<SeqNum, MaterializeError> {
        self.heads().map(|heads| heads.head)
    }

    fn apply(&mut self, batch: MaterializeBatch<'_>) -> Result<Applied, MaterializeError> {
        let heads = self.heads()?;
        check(&batch, &heads)?;
        // Until the transaction is known to be through or taken back.
        self.heads = None;
        let mut isolation = Isolation::default();
        let (applied, next) = loop {
            match self.attempt(&batch, heads, isolation) {
                Ok(done) => break done,
                Err(Stop::Retry(other)) => isolation = other,
                Err(Stop::Failed(error)) => return Err(error),
            }
        };
        self.heads = Some(next);
        Ok(applied)
    }

    fn reset(&mut self) -> Result<(), MaterializeError> {
        self.replace(Database::clear)
    }

    fn quarantined(&self) -> Result<Vec<Quarantined>, MaterializeError> {
        let _own = self.view.database.own();
        self.ledger().quarantined()
    }

    fn snapshot(&self) -> Result<Snapshot, MaterializeError> {
        let head = self.head()?;
        let _own = self.view.database.own();
        snapshot::write(&mut self.view.database.to_memory()?, head)
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<(), MaterializeError> {
        let source = snapshot::read(snapshot)?;
        let schema = &self.view.database.schema;
        if stored_definitions(&source)? != (schema.definitions(), schema.event_names()) {
            return Err(MaterializeError::Corrupt("the snapshot was made by other definitions".into()));
        }
        self.replace(|database| database.replace_by(&source))
    }

    fn fork(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        Ok(Box::new(self.options.scratch(self.view.database.schema.clone())?))
    }

    fn view(&self) -> &dyn Any {
        &self.view
    }
}

impl SqliteMaterializer {
    /// Runs what replaces the whole state.
    fn replace(
        &mut self,
        replace: impl FnOnce(&mut Database) -> Result<(), MaterializeError>,
    ) -> Result<(), MaterializeError> {
        self.heads = None;
        let database = &mut self.view.database;
        database.guard.enter(Mode::Own);
        let replaced = replace(database);
        database.guard.enter(Mode::Read);
        replaced?;
        self.load()
    }
}

/// What can be told before anything is written.
fn check(batch: &MaterializeBatch<'_>, heads: &Heads) -> Result<(), MaterializeError> {
    if batch.base != heads.head {
        return Err(MaterializeError::WrongBase { head: heads.head, base: batch.base });
    }
    if let Some(to) = batch.rollback_to
        && !(heads.floor..=heads.head.position()).contains(&to.position())
    {
        return Err(MaterializeError::NoUndo { to });
    }
    let mut head = batch.rollback_to.unwrap_or(heads.head);
    for event in batch.events {
        if event.num.position() <= head.position() {
            return Err(MaterializeError::WrongBase { head, base: event.num });
        }
        head = event.num;
    }
    Ok(())
}

fn is_catch_up(batch: &MaterializeBatch<'_>) -> bool {
    batch.events.get(CATCH_UP_EVENTS - 1).is_some_and(|event| event.num.position() <= batch.settled)
}

/// The file of a fork, removed with it.
#[derive(Debug)]
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(directory: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("session-{}-{number}.sqlite", std::process::id()));
        // A process of this number may have crashed and left one behind.
        let _ = SqliteMaterializer::discard(&path);
        Self(path)
    }

    /// Takes the name of the open file away where that is possible, so that not even a crash leaves it behind.
    fn hide(&self) {
        if cfg!(unix) {
            // One that stays is removed in the end.
            let _ = SqliteMaterializer::discard(&self.0);
        }
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // What cannot be removed is left over; there is nobody to tell.
        let _ = SqliteMaterializer::discard(&self.0);
    }
}

#[cfg(test)]
mod tests;
