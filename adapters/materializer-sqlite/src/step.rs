//! One batch on its way into the state: events are applied, quarantined, or stop it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use livestore_traits::{
    Applied, BoxError, Event, MaterializeError, OnFailure, Position, Quarantined, UnknownEvent,
};

use crate::database::Database;
use crate::error::storage;
use crate::guard::Mode;
use crate::ledger::{self, EventUndo, Ledger};
use crate::state::SqliteState;
use crate::undo;

/// Whether the events of a batch are isolated from each other by savepoints.
///
/// Events rarely fail, and a savepoint costs more than a small event. So a batch is first applied without them, and only
/// if an event of it fails, all over again with them.
#[derive(Debug, Default)]
pub(crate) struct Isolation {
    savepoints: bool,
    /// Events that are known to end the whole transaction, and what they said.
    skip: BTreeMap<usize, String>,
}

/// Why a batch was not applied.
pub(crate) enum Stop {
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

/// One batch on its way into the state.
pub(crate) struct Step<'a> {
    database: &'a Database,
    pub ledger: Ledger<'a>,
    on_failure: OnFailure,
    changed: RefCell<Vec<bool>>,
    applied: Applied,
    isolation: Isolation,
}

impl<'a> Step<'a> {
    pub(crate) fn new(
        database: &'a Database,
        ledger: Ledger<'a>,
        on_failure: OnFailure,
        isolation: Isolation,
    ) -> Self {
        let changed = RefCell::new(vec![false; database.schema.table_names().len()]);
        Self { database, ledger, on_failure, changed, applied: Applied::default(), isolation }
    }

    /// Undoes what came after `to`.
    pub(crate) fn roll_back(&mut self, to: Position) -> Result<(), MaterializeError> {
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

    /// Applies the event at `index` of the batch.
    pub(crate) fn apply(&mut self, index: usize, event: &Event, can_roll_back: bool) -> Result<(), Stop> {
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

    /// Forgets how to undo the events up to `floor`.
    pub(crate) fn forget_through(&self, floor: Position) -> Result<(), MaterializeError> {
        if self.ledger.forget_through(floor)? {
            let first_needed = self.ledger.first_undo()?.unwrap_or(i64::MAX);
            for table in self.database.schema.undo() {
                table.forget(&self.database.connection, first_needed).map_err(storage)?;
            }
        }
        Ok(())
    }

    /// What the batch did.
    pub(crate) fn finish(self) -> Applied {
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
pub(crate) struct Transaction<'a>(&'a Database);

impl<'a> Transaction<'a> {
    pub(crate) fn begin(database: &'a Database) -> Result<Self, MaterializeError> {
        run(database, "BEGIN IMMEDIATE")?;
        Ok(Self(database))
    }

    pub(crate) fn commit(self) -> Result<(), MaterializeError> {
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
