//! How a leader begins on a log that an earlier leader still writes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::time::Instant;

use livestore_engine::processor::LeaderConfig;
use livestore_engine::runtime::LeaderCore;
use livestore_eventlog_memory::{MemoryEventlog, MemoryStorage};
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
use livestore_traits::{
    ArchiveInfo, Args, ClientId, ClientSecret, Event, EventName, EventSet, Eventlog, EventlogError,
    EventlogReader, Heads, Identity, LogCommit, Position, ReadLimit, SeqNum, SessionId, SessionRecord, Term,
};

/// A log on which an earlier leader commits once more, right after its heads were read.
#[derive(Debug)]
struct Overtaken {
    log: MemoryEventlog,
    last_act: Mutex<Option<(MemoryEventlog, LogCommit)>>,
}

impl EventlogReader for Overtaken {
    fn heads(&self) -> Result<Heads, EventlogError> {
        let heads = self.log.heads();
        if let Some((mut earlier, commit)) = self.last_act.lock().unwrap().take() {
            earlier.commit(Term(1), commit).unwrap();
        }
        heads
    }
    fn read(&self, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        self.log.read(after, limit)
    }
    fn common(&self, version: SeqNum) -> Result<SeqNum, EventlogError> {
        self.log.common(version)
    }
    fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
        self.log.session(session_id)
    }
    fn archives(&self) -> Result<Vec<ArchiveInfo>, EventlogError> {
        self.log.archives()
    }
    fn read_archive(&self, id: u64, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        self.log.read_archive(id, after, limit)
    }
}

impl Eventlog for Overtaken {
    fn commit(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        self.log.commit(term, commit)
    }
    fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        self.log.reader()
    }
}

fn identity(client: &str) -> Identity {
    Identity { client_id: ClientId::new(client).unwrap(), secret: ClientSecret([7; 16]) }
}

fn event(client: &str) -> Event {
    Event {
        num: SeqNum::ROOT.next_synced(livestore_traits::RebaseGeneration(0)),
        name: EventName::new("v1.Added").unwrap(),
        args: Args::from_value(&1).unwrap(),
        client_id: ClientId::new(client).unwrap(),
        session_id: SessionId::new("session").unwrap(),
        commit: None,
        unit_end: true,
        is_own: true,
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant is a good beginning")]
fn begin(storage: &MemoryStorage, earlier: LogCommit) -> LeaderCore {
    let last_act = Mutex::new(Some((storage.open(), earlier)));
    let log = Overtaken { log: storage.open(), last_act };
    // What it does not know is logged and not materialized.
    let schema = MemorySchema::<u64>::builder(EventSet::default()).build().unwrap();
    let state = MemoryMaterializer::new(schema);
    let (config, now) = (LeaderConfig::default(), Instant::now());
    let new_identity = || identity("second");
    LeaderCore::open(Box::new(log), Box::new(state), Term(2), config, now, false, new_identity, &mut |_| {})
        .expect("what the earlier leader did last is no reason not to begin")
}

/// A leader whose leadership has expired may not know that yet: what it settles between the look at the heads and the
/// commit that fences it made that commit be refused, and the new leader's store was over.
#[test]
fn what_the_earlier_leader_settles_last_is_taken_over() {
    let storage = MemoryStorage::default();
    let mut earlier = storage.open();
    let fresh = LogCommit::new(&earlier.heads().unwrap());
    let identity = Some(identity("first"));
    let heads =
        earlier.commit(Term(1), LogCommit { append: vec![event("first")], identity, ..fresh }).unwrap();
    let settles = LogCommit { settled: heads.local, ..LogCommit::new(&heads) };
    let status = begin(&storage, settles).status();
    assert_eq!((status.settled_head, status.local_head), (heads.local, heads.local));
    assert_eq!(storage.open().heads().unwrap().term, Term(2));
}

/// … and the name that it gives the client meanwhile stays.
#[test]
fn the_identity_that_the_earlier_leader_stores_last_stays() {
    let storage = MemoryStorage::default();
    let fresh = LogCommit::new(&storage.open().heads().unwrap());
    let identity = identity("first");
    let named = LogCommit { append: vec![event("first")], identity: Some(identity.clone()), ..fresh };
    let status = begin(&storage, named).status();
    assert_eq!(status.client_id, identity.client_id);
    assert_eq!(status.pending_events, 1);
}
