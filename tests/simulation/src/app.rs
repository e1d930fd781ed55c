//! The application of the simulation: a notebook whose state depends on the order of every event.

use std::collections::BTreeMap;

use livestore_engine::Session;
use livestore_materializer_memory::MemorySchema;
use livestore_materializer_sqlite::{SqliteSchema, SqliteState, SqliteView};
use livestore_traits::{BoxError, EventKind, EventSet, NewEvent, TypedEvent};
use serde::{Deserialize, Serialize};

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everybody gets it.
    Put,
    /// Only the sessions of its client get it.
    Draft,
    /// Its materializer fails at every third position, as the state says.
    Fussy,
    /// Older clients do not know it.
    Extra,
    /// The backend refuses it.
    Banned,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Put, Self::Draft, Self::Fussy, Self::Extra, Self::Banned];

    /// The name of its event.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => Put::NAME,
            Self::Draft => Draft::NAME,
            Self::Fussy => Fussy::NAME,
            Self::Extra => Extra::NAME,
            Self::Banned => Banned::NAME,
        }
    }

    /// The kind of the event called `name`.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// An event of this kind.
    ///
    /// # Panics
    /// Never: every text is good JSON.
    #[must_use]
    pub fn event(self, text: &str) -> NewEvent {
        let text = text.to_owned();
        let event = match self {
            Self::Put => NewEvent::from(&Put { text }),
            Self::Draft => NewEvent::from(&Draft { text }),
            Self::Fussy => NewEvent::from(&Fussy { text }),
            Self::Extra => NewEvent::from(&Extra { text }),
            Self::Banned => NewEvent::from(&Banned { text }),
        };
        event.expect("a text is good JSON")
    }
}

macro_rules! events {
    ($($event:ident, $name:literal, $kind:ident;)*) => {
        $(
            #[derive(Debug, Serialize, Deserialize)]
            pub(crate) struct $event {
                pub(crate) text: String,
            }

            impl TypedEvent for $event {
                const NAME: &'static str = $name;
                const KIND: EventKind = EventKind::$kind;
            }
        )*
    };
}

events! {
    Put, "v1.Put", Synced;
    Draft, "v1.Draft", ClientOnly;
    Fussy, "v1.Fussy", Synced;
    Extra, "v1.Extra", Synced;
    Banned, "v1.Banned", Synced;
}

/// The state: small, and different after any other order of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notebook {
    /// A digest of the synced events in order.
    pub shared: u64,
    /// A digest of all events in order, drafts among them.
    pub own: u64,
    /// How many synced events have been applied.
    pub count: u64,
    /// How often each key was written.
    pub keys: BTreeMap<u8, u64>,
}

impl Notebook {
    /// Does what an event does. What it does depends on the state.
    ///
    /// # Errors
    /// If the event does not go with the state, which is then unchanged.
    pub fn apply(&mut self, kind: Kind, text: &str) -> Result<(), BoxError> {
        if kind == Kind::Fussy && self.count.is_multiple_of(3) {
            return Err("not at every third position".into());
        }
        let value = digest(kind as u64, text.as_bytes());
        if kind != Kind::Draft {
            let key = (value % 5) as u8;
            let times = self.keys.entry(key).or_default();
            *times += 1;
            self.shared = digest(self.shared ^ value, &times.to_le_bytes());
            self.count += 1;
        }
        self.own = digest(self.own ^ value, &self.count.to_le_bytes());
        Ok(())
    }
}

/// FNV-1a of `bytes`, begun with `seed`.
fn digest(seed: u64, bytes: &[u8]) -> u64 {
    let begin = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes.iter().fold(begin, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The events that a client knows, `Extra` only if it is a newer one.
///
/// # Panics
/// Never: the events are good.
#[must_use]
pub fn events(knows_extra: bool) -> EventSet {
    let events = EventSet::builder().event::<Put>().event::<Draft>().event::<Fussy>().event::<Banned>();
    let events = if knows_extra { events.event::<Extra>() } else { events };
    events.build().expect("good events")
}

/// The application on SQLite: the same notebook, in rows.
///
/// # Panics
/// Never: the schema is good.
#[must_use]
pub fn sqlite_schema(knows_extra: bool) -> SqliteSchema {
    let schema = SqliteSchema::builder(events(knows_extra))
        .table("CREATE TABLE digests (id INTEGER PRIMARY KEY, shared INTEGER, own INTEGER, count INTEGER) STRICT")
        .table("CREATE TABLE keys (key INTEGER PRIMARY KEY, times INTEGER NOT NULL) STRICT")
        .on::<Put>(|state, event, _| apply_rows(state, Kind::Put, &event.text))
        .on::<Draft>(|state, event, _| apply_rows(state, Kind::Draft, &event.text))
        .on::<Fussy>(|state, event, _| apply_rows(state, Kind::Fussy, &event.text))
        .on::<Banned>(|state, event, _| apply_rows(state, Kind::Banned, &event.text));
    let schema = if knows_extra {
        schema.on::<Extra>(|state, event, _| apply_rows(state, Kind::Extra, &event.text))
    } else {
        schema
    };
    schema.build().expect("a good schema")
}

const DIGESTS: &str = "SELECT shared, own, count FROM digests WHERE id = 0";
const KEYS: &str = "SELECT key, times FROM keys";

/// A digest, or a count, as SQLite keeps it.
fn row(shared: i64, own: i64, count: i64) -> Notebook {
    let [shared, own, count] = [shared, own, count].map(i64::cast_unsigned);
    Notebook { shared, own, count, keys: BTreeMap::new() }
}

fn apply_rows(state: &SqliteState<'_>, kind: Kind, text: &str) -> Result<(), BoxError> {
    let rows =
        state.query_map(DIGESTS, (), |columns| Ok(row(columns.get(0)?, columns.get(1)?, columns.get(2)?)))?;
    let mut notebook = rows.into_iter().next().unwrap_or_default();
    let keys = state
        .query_map(KEYS, (), |columns| Ok((columns.get(0)?, columns.get::<_, i64>(1)?.cast_unsigned())))?;
    notebook.keys = keys.into_iter().collect();
    let before = notebook.clone();
    notebook.apply(kind, text)?;
    let digests = [notebook.shared, notebook.own, notebook.count].map(u64::cast_signed);
    state.execute("INSERT OR REPLACE INTO digests VALUES (0, ?1, ?2, ?3)", digests)?;
    for (key, times) in notebook.keys.iter().filter(|(key, times)| before.keys.get(key) != Some(times)) {
        let upsert = "INSERT INTO keys VALUES (?1, ?2) ON CONFLICT DO UPDATE SET times = ?2";
        state.execute(upsert, (key, times.cast_signed()))?;
    }
    Ok(())
}

/// What a session shows; `None` if it cannot be read.
#[must_use]
pub fn read(session: &Session) -> Option<Notebook> {
    if let Ok(notebook) = session.query(|notebook: &Notebook| notebook.clone()) {
        return Some(notebook);
    }
    session.query(read_rows).ok()?
}

fn read_rows(view: &SqliteView) -> Option<Notebook> {
    let rows =
        view.query_map(DIGESTS, (), |columns| Ok(row(columns.get(0)?, columns.get(1)?, columns.get(2)?)));
    let mut notebook = rows.ok()?.into_iter().next().unwrap_or_default();
    let keys =
        view.query_map(KEYS, (), |columns| Ok((columns.get(0)?, columns.get::<_, i64>(1)?.cast_unsigned())));
    notebook.keys = keys.ok()?.into_iter().collect();
    Some(notebook)
}

/// The application on a state in memory.
///
/// # Panics
/// Never: the schema is good.
#[must_use]
pub fn memory_schema(knows_extra: bool) -> MemorySchema<Notebook> {
    let schema = MemorySchema::builder(events(knows_extra))
        .on::<Put>(|state: &mut Notebook, event, _| state.apply(Kind::Put, &event.text))
        .on::<Draft>(|state: &mut Notebook, event, _| state.apply(Kind::Draft, &event.text))
        .on::<Fussy>(|state: &mut Notebook, event, _| state.apply(Kind::Fussy, &event.text))
        .on::<Banned>(|state: &mut Notebook, event, _| state.apply(Kind::Banned, &event.text));
    let schema = if knows_extra {
        schema.on::<Extra>(|state: &mut Notebook, event, _| state.apply(Kind::Extra, &event.text))
    } else {
        schema
    };
    schema.build().expect("a good schema")
}
