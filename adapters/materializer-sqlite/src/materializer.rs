//! Applies events to a state and takes them back.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use livestore_traits::{
    Applied, BoxError, Event, MaterializeBatch, MaterializeError, Materializer, OnFailure, Position,
    Quarantined, SeqNum, Snapshot, UnknownEvent,
};

use crate::database::{Database, stored_definitions};
use crate::error::storage;
use crate::guard::Mode;
use crate::ledger::{self, EventUndo, Heads, Ledger};
use crate::schema::SqliteSchema;
use crate::snapshot;
use crate::state::SqliteState;
use crate::undo;
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
        SqliteMaterializer::new(Database::open(path.as_ref(), schema)?, self, None)
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

/// Whether the events of a batch are isolated from each other by savepoints.
///
/// Events rarely fail, and a savepoint costs more than a small event. So a batch is first applied without them, and only
/// if an event of it fails, all over again with them.
#[derive(Debug, Default)]
struct Isolation {
    savepoints: bool,
    /// Events that are known to end the whole transaction, and what they said.
    skip: BTreeMap<usize, String>,
}

/// Why a batch was not applied.
enum Stop {
    /// For good.
    Failed(MaterializeError),
    /// It must be applied again, in this way.
    Retry(Isolation),
}

impl From<MaterializeError> for Stop {
    fn from(error: MaterializeError) -> Self {
        Self::Failed(error)
    }
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
        let mut step = Step {
            database,
            ledger: self.ledger(),
            on_failure: batch.on_failure,
            changed: RefCell::new(vec![false; database.schema.table_names().len()]),
            applied: Applied::default(),
            isolation,
        };
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
        let schema = self.view.database.schema.clone();
        let options = self.options.clone();
        let fork = match &self.options.forks_in {
            None => options.in_memory(schema)?,
            Some(directory) => {
                let file = TemporaryFile::new(directory);
                Self::new(Database::open(&file.0, schema)?, options, Some(file))?
            }
        };
        Ok(Box::new(fork))
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

/// One batch on its way into the state.
struct Step<'a> {
    database: &'a Database,
    ledger: Ledger<'a>,
    on_failure: OnFailure,
    changed: RefCell<Vec<bool>>,
    applied: Applied,
    isolation: Isolation,
}

impl Step<'_> {
    fn roll_back(&mut self, to: Position) -> Result<(), MaterializeError> {
        let Database { connection, guard, schema, .. } = self.database;
        if let Some(first) = self.ledger.first_event_after(to)? {
            let changed = self.changed.get_mut();
            undo::roll_back(connection, guard, schema.catalog(), schema.undo(), first.first_undo, |table| {
                changed[table] = true;
            })
            .map_err(storage)?;
            if let Some(sequences) = &first.sequences {
                ledger::write_sequences(connection, sequences).map_err(storage)?;
            }
        }
        self.ledger.remove_after(to)
    }

    fn apply(&mut self, index: usize, event: &Event, can_roll_back: bool) -> Result<(), Stop> {
        if self.database.schema.handler(&event.name).is_none() {
            return Ok(self.meet_unknown(event)?);
        }
        if let Some(error) = self.isolation.skip.get(&index) {
            return Ok(self.quarantine(event, error.clone())?);
        }
        if self.isolation.savepoints {
            run(self.database, "SAVEPOINT livestore_event")?;
        }
        match self.materialize(event, can_roll_back)? {
            Ok(()) if self.isolation.savepoints => Ok(run(self.database, "RELEASE livestore_event")?),
            Ok(()) => Ok(()),
            Err(source) => self.fail(index, event, source),
        }
    }

    /// Runs the event's materializer. The outer error is the storage's, the inner one the event's.
    fn materialize(
        &mut self,
        event: &Event,
        can_roll_back: bool,
    ) -> Result<Result<(), BoxError>, MaterializeError> {
        let Database { connection, guard, schema, .. } = self.database;
        let handler = schema.handler(&event.name).expect("the caller has found the handler");
        let has_sequences = can_roll_back && schema.catalog().has_sequences;
        let sequences =
            has_sequences.then(|| ledger::read_sequences(connection)).transpose().map_err(storage)?;
        let first_undo = guard.next_undo();

        guard.set_recording(can_roll_back);
        let state = SqliteState::new(self.database, &self.changed);
        guard.enter(Mode::Write);
        let result = handler(&state, event);
        guard.enter(Mode::Own);
        if let Some(error) = state.into_storage_failure() {
            return Err(storage(error));
        }

        let undo = EventUndo { first_undo, end_undo: guard.next_undo(), sequences };
        if result.is_ok() && (undo.end_undo > undo.first_undo || undo.sequences.is_some()) {
            self.ledger.add_event(event.num.position(), &undo)?;
        }
        Ok(result)
    }

    fn fail(&mut self, index: usize, event: &Event, source: BoxError) -> Result<(), Stop> {
        if self.on_failure == OnFailure::Refuse {
            let (num, name) = (event.num, event.name.clone());
            return Err(MaterializeError::Event { num, name, source }.into());
        }
        let mut isolation = std::mem::take(&mut self.isolation);
        if self.database.connection.is_autocommit() {
            // `OR ROLLBACK` has taken back the events before this one, too.
            isolation.skip.insert(index, source.to_string());
            return Err(Stop::Retry(isolation));
        }
        if !isolation.savepoints {
            isolation.savepoints = true;
            return Err(Stop::Retry(isolation));
        }
        self.isolation = isolation;
        run(self.database, "ROLLBACK TO livestore_event")?;
        run(self.database, "RELEASE livestore_event")?;
        Ok(self.quarantine(event, source.to_string())?)
    }

    fn quarantine(&mut self, event: &Event, error: String) -> Result<(), MaterializeError> {
        let quarantined = Quarantined { num: event.num, name: event.name.clone(), error };
        self.ledger.quarantine(&quarantined)?;
        self.applied.quarantined.push(quarantined);
        Ok(())
    }

    fn meet_unknown(&mut self, event: &Event) -> Result<(), MaterializeError> {
        if self.on_failure == OnFailure::Refuse {
            return Err(MaterializeError::Undeclared(event.name.clone()));
        }
        self.ledger.add_unknown(&event.name)?;
        self.applied.unknown.push(UnknownEvent { num: event.num, name: event.name.clone() });
        Ok(())
    }

    fn forget_through(&self, floor: Position) -> Result<(), MaterializeError> {
        if self.ledger.forget_through(floor)? {
            let first_needed = self.ledger.first_undo()?.unwrap_or(i64::MAX);
            for table in self.database.schema.undo() {
                table.forget(&self.database.connection, first_needed).map_err(storage)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Applied {
        let names = self.database.schema.table_names();
        let changed = self.changed.into_inner();
        let changed: BTreeSet<Arc<str>> = names
            .iter()
            .zip(changed)
            .filter(|(_, changed)| *changed)
            .map(|(name, _)| Arc::clone(name))
            .collect();
        Applied { changed, ..self.applied }
    }
}

/// Takes everything back unless it is committed, also when a materializer panics.
struct Transaction<'a>(&'a Database);

impl<'a> Transaction<'a> {
    fn begin(database: &'a Database) -> Result<Self, MaterializeError> {
        run(database, "BEGIN IMMEDIATE")?;
        Ok(Self(database))
    }

    fn commit(self) -> Result<(), MaterializeError> {
        run(self.0, "COMMIT")
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.0.connection.is_autocommit() {
            self.0.guard.enter(Mode::Own);
            // A rollback that fails leaves a connection that refuses everything after it, with the reason.
            let _ = run(self.0, "ROLLBACK");
        }
    }
}

fn run(database: &Database, sql: &str) -> Result<(), MaterializeError> {
    database
        .connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(()))
        .map(drop)
        .map_err(storage)
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
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // What cannot be removed is left over; there is nobody to tell.
        let _ = SqliteMaterializer::discard(&self.0);
    }
}

#[cfg(test)]
mod tests;
