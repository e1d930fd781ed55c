//! What an application declares: its tables, and what each event does to them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use livestore_traits::{
    Args, BoxError, Event, EventContext, EventName, EventSet, MaterializeError, TypedEvent,
};
use rusqlite::Connection;
use sha1_smol::Sha1;

use crate::catalog::{self, Catalog};
use crate::error::storage;
use crate::guard::{Guard, Mode};
use crate::ledger;
use crate::state::SqliteState;
use crate::undo::TableUndo;

/// What an event does to the state. Its args are checked against the event's type before.
type Handler = Box<dyn Fn(&SqliteState<'_>, &Event) -> Result<(), BoxError> + Send + Sync>;

/// Marks a file as the state of a livestore client: "lvst".
pub(crate) const APPLICATION_ID: i32 = 0x6c76_7374;

/// The layout of this crate's own tables.
pub(crate) const FORMAT: i32 = 1;

/// Tables and materializers, checked and ready for use. Cheap to clone.
#[derive(Clone)]
pub struct SqliteSchema(Arc<Inner>);

struct Inner {
    ddl: Vec<String>,
    version: u32,
    handlers: HashMap<EventName, Handler>,
    catalog: Catalog,
    undo: Vec<TableUndo>,
    table_names: Vec<Arc<str>>,
}

impl SqliteSchema {
    /// Begins to declare tables and materializers for `events`.
    #[must_use]
    pub fn builder(events: EventSet) -> SqliteSchemaBuilder {
        SqliteSchemaBuilder { events, version: 0, ddl: Vec::new(), handlers: HashMap::new(), error: None }
    }

    /// Creates everything in an empty database.
    pub(crate) fn lay_out(&self, connection: &Connection, guard: &Guard) -> Result<(), MaterializeError> {
        create_tables(connection, guard, &self.0.ddl).map_err(MaterializeError::Definition)?;
        connection.execute_batch(ledger::CREATE).map_err(storage)?;
        for undo in &self.0.undo {
            connection.execute_batch(&undo.create_table).map_err(storage)?;
        }
        for (key, value) in [("definitions", self.definitions()), ("events", self.event_names())] {
            connection
                .execute("INSERT INTO livestore_meta VALUES (?1, ?2)", (key, value))
                .map_err(storage)?;
        }
        connection.pragma_update(None, "user_version", FORMAT).map_err(storage)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(storage)
    }

    /// A short name of all that must be equal for one state to be restored from the snapshot of another: tables, version, and
    /// known events.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let all = format!("sqlite format {FORMAT}\n{}\n{}", self.definitions(), self.event_names());
        Sha1::from(all).digest().to_string()
    }

    /// All that decides what a state looks like, apart from which events are known.
    pub(crate) fn definitions(&self) -> String {
        format!("version {}\n{}", self.0.version, self.0.ddl.join(";\n"))
    }

    /// The names of the known events, one a line: no name has a line break.
    pub(crate) fn event_names(&self) -> String {
        let mut names: Vec<&str> = self.0.handlers.keys().map(EventName::as_str).collect();
        names.sort_unstable();
        names.join("\n")
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.handlers.contains_key(name)
    }

    pub(crate) fn handler(&self, name: &EventName) -> Option<&Handler> {
        self.0.handlers.get(name)
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    pub(crate) fn undo(&self) -> &[TableUndo] {
        &self.0.undo
    }

    /// The user tables; their indexes name them elsewhere.
    pub(crate) fn table_names(&self) -> &[Arc<str>] {
        &self.0.table_names
    }
}

impl fmt::Debug for SqliteSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSchema")
            .field("version", &self.0.version)
            .field("tables", &self.0.table_names)
            .field("events", &self.0.handlers.keys())
            .finish_non_exhaustive()
    }
}

/// Collects declarations; all errors are reported by [`SqliteSchemaBuilder::build`].
pub struct SqliteSchemaBuilder {
    events: EventSet,
    version: u32,
    ddl: Vec<String>,
    handlers: HashMap<EventName, Handler>,
    error: Option<String>,
}

impl SqliteSchemaBuilder {
    /// The version of the materializers. Raise it when one of them changes what it does: the state is then rebuilt from
    /// the log. Changed tables are noticed without it.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Creates a table, or an index, view or trigger: one or several `CREATE` statements.
    ///
    /// Triggers fire when events are applied, not when they are undone, and as with `PRAGMA recursive_triggers` also for
    /// rows that `REPLACE` deletes. Foreign keys are enforced.
    #[must_use]
    pub fn table(mut self, sql: impl Into<String>) -> Self {
        self.ddl.push(sql.into());
        self
    }

    /// What events of type `E` do to the state.
    ///
    /// It must depend on nothing but the state, the event and the context, or replicas would differ. An error, also from
    /// args that do not fit `E`, takes back all that the event did.
    #[must_use]
    pub fn on<E: TypedEvent>(
        self,
        materializer: impl Fn(&SqliteState<'_>, E, &EventContext<'_>) -> Result<(), BoxError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.handle(E::NAME, move |state, event| {
            materializer(state, event.args.to_value()?, &EventContext::new(event))
        })
    }

    /// What events called `name` do to the state, for args that have no Rust type.
    #[must_use]
    pub fn on_raw(
        self,
        name: &str,
        materializer: impl Fn(&SqliteState<'_>, &Args, &EventContext<'_>) -> Result<(), BoxError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.handle(name, move |state, event| materializer(state, &event.args, &EventContext::new(event)))
    }

    fn handle(
        mut self,
        name: &str,
        handler: impl Fn(&SqliteState<'_>, &Event) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        let declared = self.events.iter().find(|(declared, _)| declared.as_str() == name);
        let Some((name, _)) = declared else {
            self.error.get_or_insert(format!("a materializer is given for {name}, which is not declared"));
            return self;
        };
        if self.handlers.insert(name.clone(), Box::new(handler)).is_some() {
            self.error.get_or_insert(format!("{name} has two materializers"));
        }
        self
    }

    /// The schema, if every declaration is good.
    ///
    /// # Errors
    /// [`MaterializeError::Definition`] with the first declaration that is not: an event without a materializer, with two
    /// of them, or that is not declared; SQL that is wrong or that creates what cannot be undone.
    pub fn build(self) -> Result<SqliteSchema, MaterializeError> {
        self.check().map_err(MaterializeError::Definition)
    }

    fn check(self) -> Result<SqliteSchema, String> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if let Some((name, _)) = self.events.iter().find(|(name, _)| !self.handlers.contains_key(*name)) {
            return Err(format!("{name} has no materializer"));
        }
        let mut connection = Connection::open_in_memory().map_err(|error| error.to_string())?;
        let guard = Guard::install(&mut connection).map_err(|error| error.to_string())?;
        create_tables(&connection, &guard, &self.ddl)?;
        let catalog = Catalog::read(&connection)?;
        let undo: Vec<TableUndo> = catalog.tables.iter().map(TableUndo::new).collect();
        let table_names = catalog.tables.iter().map(|table| table.name.as_str().into()).collect();
        Ok(SqliteSchema(Arc::new(Inner {
            ddl: self.ddl,
            version: self.version,
            handlers: self.handlers,
            catalog,
            undo,
            table_names,
        })))
    }
}

impl fmt::Debug for SqliteSchemaBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSchemaBuilder")
            .field("version", &self.version)
            .field("ddl", &self.ddl)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

fn create_tables(connection: &Connection, guard: &Guard, ddl: &[String]) -> Result<(), String> {
    guard.enter(Mode::Define);
    let created = ddl.iter().try_for_each(|sql| {
        catalog::check_text(sql).map_err(|reason| format!("{reason}, in {sql}"))?;
        connection.execute_batch(sql).map_err(|error| {
            let reason = guard.take_compiled().refused.unwrap_or_else(|| error.to_string());
            format!("{reason}, in {sql}")
        })
    });
    guard.enter(Mode::Own);
    created
}
