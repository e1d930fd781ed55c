//! A log with rebases, the state that followed it, and what its files looked like on the way.

use fastrand::Rng;
use livestore_disk::files::Image;
use livestore_eventlog_memory::MemoryStorage;
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema, SqliteView};
use livestore_traits::{
    Args, ClientId, Event, EventName, EventSet, Eventlog, EventlogReader, Heads, LogCommit, LogCommitKind,
    MaterializeBatch, Materializer, OnFailure, ReadLimit, SeqNum, SessionId, Term, TypedEvent,
};
use serde::{Deserialize, Serialize};

/// Commits of a history.
const STEPS: usize = 40;
/// Places that it writes to.
const PLACES: u32 = 400;

#[derive(Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) place: u32,
    pub(crate) text: String,
}

impl TypedEvent for Written {
    const NAME: &'static str = "v1.Written";
}

pub(crate) fn schema() -> SqliteSchema {
    let events = EventSet::builder().event::<Written>().build().expect("good events");
    SqliteSchema::builder(events)
        .table("CREATE TABLE places (place INTEGER PRIMARY KEY, text TEXT NOT NULL, times INTEGER NOT NULL)")
        .on::<Written>(|state, event, _| {
            state.execute(
                "INSERT INTO places VALUES (?1, ?2, 1)
                 ON CONFLICT DO UPDATE SET text = excluded.text, times = times + 1",
                (event.place, &event.text),
            )?;
            Ok(())
        })
        .build()
        .expect("a good schema")
}

/// All that is in a state.
pub(crate) fn rows(state: &dyn Materializer) -> Result<Vec<(u32, String, u32)>, String> {
    let view: &SqliteView = state.view().downcast_ref().expect("SQLite's view");
    let rows = view.query_map("SELECT place, text, times FROM places ORDER BY place", (), |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    rows.map_err(|error| error.to_string())
}

pub(crate) struct History {
    pub(crate) storage: MemoryStorage,
    images: Vec<Image>,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("state.sqlite");
        let storage = MemoryStorage::default();
        let mut log = storage.open();
        let mut state = SqliteMaterializer::open(&path, schema()).expect("a new state");
        let mut images = vec![Image::of(&path).expect("files")];
        let mut heads = Heads::default();
        // Sometimes the process is gone before the state has followed.
        let applied = STEPS - rng.usize(..3);
        for step in 0..STEPS {
            let commit = invent(&heads, &log, &mut rng);
            let base = heads.local;
            heads = log.commit(Term(1), commit.clone()).expect("a commit that keeps the rules");
            if step < applied {
                follow(&mut state, base, &commit);
            }
            if rng.u8(..8) == 0 {
                // Closed in order, so that the log of changes goes into the file of pages.
                drop(state);
                images.push(Image::of(&path).expect("files"));
                state = SqliteMaterializer::open(&path, schema()).expect("a state that was closed");
            }
            images.push(Image::of(&path).expect("files"));
        }
        Self { storage, images }
    }

    /// One commit more that writes to every place, and that the state does not follow any more.
    pub(crate) fn write_everywhere(&self) {
        let mut log = self.storage.open();
        let heads = log.heads().expect("a log");
        let mut commit = LogCommit::new(&heads);
        let mut num = heads.local;
        for place in 0..PLACES {
            num = num.next_synced(commit.generation);
            commit.append.push(event(num, &Written { place, text: "everywhere".into() }));
        }
        log.commit(Term(1), commit).expect("a commit that keeps the rules");
    }

    pub(crate) fn last_image(&self) -> &Image {
        self.images.last().expect("there is one of the new state")
    }

    pub(crate) fn any_image(&self, rng: &mut Rng) -> &Image {
        &self.images[rng.usize(..self.images.len())]
    }

    /// What a state shows that has never seen anything but the log.
    pub(crate) fn replayed(&self) -> Vec<(u32, String, u32)> {
        let mut state = SqliteMaterializer::in_memory(schema()).expect("room for a state");
        livestore_integration::replay(&self.storage.open(), &mut state);
        rows(&state).expect("a readable state")
    }
}

/// Does to the state what its leader would.
fn follow(state: &mut SqliteMaterializer, base: SeqNum, commit: &LogCommit) {
    let rollback_to = match commit.kind {
        LogCommitKind::Rollback { to } => Some(to),
        LogCommitKind::Append | LogCommitKind::Reset { .. } => None,
    };
    let batch = MaterializeBatch {
        base,
        rollback_to,
        events: &commit.append,
        settled: commit.settled.position(),
        on_failure: OnFailure::Quarantine,
    };
    state.apply(batch).expect("a good batch");
}

/// Some events more, or a rebase of what is not settled.
fn invent(heads: &Heads, log: &impl EventlogReader, rng: &mut Rng) -> LogCommit {
    let mut commit = LogCommit::new(heads);
    let mut num = heads.local;
    if rng.u8(..4) == 0 {
        let pending = log.read(heads.settled.position(), ReadLimit::events(1_000)).expect("a log");
        let kept = rng.usize(..=pending.len());
        num = pending[..kept].last().map_or(heads.settled, |event| event.num);
        commit.kind = LogCommitKind::Rollback { to: num };
        commit.generation = heads.generation.next();
    }
    for _ in 0..rng.usize(1..12) {
        num = num.next_synced(commit.generation);
        let text = format!("{}{}", rng.u32(..), "x".repeat(rng.usize(..400)));
        commit.append.push(event(num, &Written { place: rng.u32(..PLACES), text }));
    }
    if rng.u8(..3) == 0 {
        (commit.settled, commit.upstream.head) = (num, num);
        commit.upstream.cursor.after = num.global;
    }
    commit
}

fn event(num: SeqNum, written: &Written) -> Event {
    Event {
        num,
        name: EventName::new(Written::NAME).expect("a valid name"),
        args: Args::from_value(written).expect("good args"),
        client_id: ClientId::new("client").expect("a valid id"),
        session_id: SessionId::new("session").expect("a valid id"),
        commit: None,
        unit_end: true,
        is_own: true,
    }
}
