//! Decides what SQL may do, by who runs it, and feeds the triggers that record undo data.
//!
//! SQLite asks the authorizer while it compiles a statement. [`Mode`] says on whose behalf that happens:
//!
//! | mode | may |
//! | --- | --- |
//! | `Own` | everything: this crate's own statements |
//! | `Define` | create tables, indexes, views and triggers |
//! | `Write` | read and write rows of user tables; no DDL, transactions, `PRAGMA`, `ATTACH`, no function whose result differs between replicas |
//! | `Read` | read |

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Error};

/// Tables, triggers and functions of this crate begin with it; those of users may not.
pub(crate) const RESERVED: &str = "livestore_";

/// Two replicas would compute different states with these.
const NOT_DETERMINISTIC: [&str; 7] = [
    "random",
    "randomblob",
    "current_time",
    "current_date",
    "current_timestamp",
    "total_changes",
    "load_extension",
];

/// On whose behalf SQL is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    Own,
    Define,
    Write,
    Read,
}

/// Shared by a connection's authorizer, its functions and their user.
///
/// All access is from the connection's one thread, so the atomics need no ordering; they are there because SQLite's
/// callbacks must be `Send`.
#[derive(Debug)]
pub(crate) struct Guard {
    mode: AtomicU8,
    recording: AtomicBool,
    next_undo: AtomicI64,
    compiled: Mutex<Compiled>,
}

/// What the authorizer saw since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    /// Tables that the statement writes, by itself, by triggers or by foreign keys.
    pub writes: Vec<String>,
    /// Why the statement was refused.
    pub refused: Option<String>,
}

impl Guard {
    /// A guard that watches `connection` from now on.
    pub(crate) fn install(connection: &mut Connection) -> Result<Arc<Self>, Error> {
        let guard = Arc::new(Self {
            mode: AtomicU8::new(Mode::Own as u8),
            recording: AtomicBool::new(false),
            next_undo: AtomicI64::new(1),
            compiled: Mutex::default(),
        });
        // SQLite's "deterministic" means constant within one statement, which lets it ask once instead of per row.
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
        let shared = Arc::clone(&guard);
        connection.create_scalar_function(
            "livestore_recording",
            0,
            flags | FunctionFlags::SQLITE_DETERMINISTIC,
            move |_| Ok(shared.recording.load(Ordering::Relaxed)),
        )?;
        let shared = Arc::clone(&guard);
        connection.create_scalar_function("livestore_undo_id", 0, flags, move |_| {
            Ok(shared.next_undo.fetch_add(1, Ordering::Relaxed))
        })?;
        let shared = Arc::clone(&guard);
        connection.authorizer(Some(move |context: AuthContext<'_>| shared.authorize(&context)))?;
        Ok(guard)
    }

    /// Compiles on behalf of `mode` from now on.
    pub(crate) fn enter(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// Whether triggers record undo data from now on.
    pub(crate) fn set_recording(&self, recording: bool) {
        self.recording.store(recording, Ordering::Relaxed);
    }

    /// The number that the next row of undo data gets. They grow over all tables.
    pub(crate) fn next_undo(&self) -> i64 {
        self.next_undo.load(Ordering::Relaxed)
    }

    /// Goes on counting at `next`.
    pub(crate) fn set_next_undo(&self, next: i64) {
        self.next_undo.store(next, Ordering::Relaxed);
    }

    /// What was compiled since the last call.
    pub(crate) fn take_compiled(&self) -> Compiled {
        std::mem::take(&mut *self.compiled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        let mode = self.mode.load(Ordering::Relaxed);
        let verdict = if mode == Mode::Own as u8 {
            return Authorization::Allow;
        } else if mode == Mode::Define as u8 {
            define(&context.action)
        } else if mode == Mode::Write as u8 {
            self.write(context)
        } else {
            read(&context.action)
        };
        match verdict {
            Ok(()) => Authorization::Allow,
            Err(reason) => {
                let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
                compiled.refused.get_or_insert(reason);
                Authorization::Deny
            }
        }
    }

    fn write(&self, context: &AuthContext<'_>) -> Result<(), String> {
        let by_undo_trigger = context.accessor.is_some_and(|name| name.starts_with(RESERVED));
        match context.action {
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name } => {
                if table_name.starts_with(RESERVED) {
                    return if by_undo_trigger { Ok(()) } else { Err(format!("{table_name} is reserved")) };
                }
                if is_internal(table_name) {
                    return Err(format!("a materializer may not write {table_name}"));
                }
                let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
                if !compiled.writes.iter().any(|name| name == table_name) {
                    compiled.writes.push(table_name.to_owned());
                }
                Ok(())
            }
            AuthAction::Read { table_name, .. } if table_name.starts_with(RESERVED) && !by_undo_trigger => {
                Err(format!("{table_name} is reserved"))
            }
            AuthAction::Function { function_name } => {
                let name = function_name.to_ascii_lowercase();
                if NOT_DETERMINISTIC.contains(&name.as_str()) {
                    return Err(format!(
                        "{name}() would differ between replicas; put its result into the event"
                    ));
                }
                if name.starts_with(RESERVED) && !by_undo_trigger {
                    return Err(format!("{name}() is reserved"));
                }
                Ok(())
            }
            AuthAction::Read { .. } | AuthAction::Select | AuthAction::Recursive => Ok(()),
            ref other => Err(format!("a materializer may only read and write rows, not {}", describe(other))),
        }
    }
}

fn define(action: &AuthAction<'_>) -> Result<(), String> {
    let check_name = |name: &str| {
        let is_reserved =
            name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED));
        if is_reserved {
            Err(format!("names that begin with {RESERVED} are reserved, as in {name}"))
        } else {
            Ok(())
        }
    };
    match *action {
        AuthAction::CreateTable { table_name: name }
        | AuthAction::CreateIndex { index_name: name, .. }
        | AuthAction::CreateView { view_name: name }
        | AuthAction::CreateTrigger { trigger_name: name, .. } => check_name(name),
        AuthAction::CreateVtable { table_name, .. } => {
            Err(format!("changes of the virtual table {table_name} cannot be undone"))
        }
        AuthAction::CreateTempTable { table_name: name }
        | AuthAction::CreateTempView { view_name: name }
        | AuthAction::CreateTempIndex { index_name: name, .. }
        | AuthAction::CreateTempTrigger { trigger_name: name, .. } => {
            Err(format!("{name} is temporary: it would be gone when the state is opened again"))
        }
        // SQLite's own bookkeeping while it creates something.
        AuthAction::Insert { table_name } | AuthAction::Update { table_name, .. }
            if is_internal(table_name) =>
        {
            Ok(())
        }
        AuthAction::Read { .. }
        | AuthAction::Select
        | AuthAction::Function { .. }
        | AuthAction::Reindex { .. }
        | AuthAction::Recursive => Ok(()),
        ref other => Err(format!(
            "a schema may only create tables, indexes, views and triggers, not {}",
            describe(other)
        )),
    }
}

fn read(action: &AuthAction<'_>) -> Result<(), String> {
    match action {
        AuthAction::Read { .. }
        | AuthAction::Select
        | AuthAction::Function { .. }
        | AuthAction::Recursive => Ok(()),
        other => Err(format!("a view may only read, not {}", describe(other))),
    }
}

/// Tables of SQLite itself.
fn is_internal(table: &str) -> bool {
    table.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"))
}

fn describe(action: &AuthAction<'_>) -> &'static str {
    match action {
        AuthAction::Insert { .. } | AuthAction::Update { .. } | AuthAction::Delete { .. } => "write rows",
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => "control transactions",
        AuthAction::Pragma { .. } => "use PRAGMA",
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => "attach databases",
        AuthAction::Analyze { .. } | AuthAction::Reindex { .. } => "maintain indexes",
        _ => "change the schema",
    }
}
