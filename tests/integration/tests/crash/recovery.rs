//! For random histories with rebases, a leader that crashed at any durable step recovers to the state that a replay of
//! its log leads to.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use livestore_engine::processor::{AttemptId, Input, LeaderConfig, LinkId, PullId};
use livestore_engine::runtime::{LeaderCore, LeaderFailure, OutwardEffect};
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::wrap::{Fuse, Passing};
use livestore_integration::{draft, line};
use livestore_materializer_sqlite::SqliteMaterializer;
use livestore_traits::{
    Applied, Attach, BackendId, ClientId, ClientSecret, CommitRef, Cursor, Event, EventKind, GlobalSeq,
    Identity, MaterializeBatch, MaterializeError, Materializer, NewEvent, PageInfo, PullPage, Push, PushAck,
    PushError, Quarantined, SeqNum, SessionId, SessionMessage, SessionPush, Snapshot, SyncedEvent, Term,
    UnixMillis,
};
use proptest::prelude::*;

use crate::schema::{lines, replay, schema};

/// A state that outlives the leader that writes it, as a file does.
#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<SqliteMaterializer>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SqliteMaterializer> {
        self.0.lock().expect("no test panics inside")
    }
}

impl Materializer for Shared {
    fn head(&self) -> Result<SeqNum, MaterializeError> {
        self.lock().head()
    }
    fn apply(&mut self, batch: MaterializeBatch<'_>) -> Result<Applied, MaterializeError> {
        self.lock().apply(batch)
    }
    fn reset(&mut self) -> Result<(), MaterializeError> {
        self.lock().reset()
    }
    fn quarantined(&self) -> Result<Vec<Quarantined>, MaterializeError> {
        self.lock().quarantined()
    }
    fn snapshot(&self) -> Result<Snapshot, MaterializeError> {
        self.lock().snapshot()
    }
    fn restore(&mut self, snapshot: Snapshot) -> Result<(), MaterializeError> {
        self.lock().restore(snapshot)
    }
    fn fork(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        self.lock().fork()
    }
    fn view(&self) -> &dyn Any {
        // What is inside can be looked at only while it is locked.
        &()
    }
}

/// One thing that happens to a leader.
#[derive(Clone, Debug)]
enum Happens {
    /// A session pushes a unit of these kinds: true is synced.
    Commit(Vec<bool>),
    /// Somebody else's events reach the backend.
    Foreign(u8),
    /// The backend sends what it has.
    Page,
    /// The backend answers the push that waits.
    Answer,
}

fn histories() -> impl Strategy<Value = Vec<Happens>> {
    let happens = prop_oneof![
        4 => proptest::collection::vec(any::<bool>(), 1..4).prop_map(Happens::Commit),
        2 => (1..3u8).prop_map(Happens::Foreign),
        2 => Just(Happens::Page),
        2 => Just(Happens::Answer),
    ];
    proptest::collection::vec(happens, 4..16)
}

/// What survives a crash: the log, the state, and the backend.
struct Rig {
    storage: MemoryStorage,
    state: Shared,
    backend: Vec<SyncedEvent>,
    pushes: VecDeque<(AttemptId, Push)>,
    pull: PullId,
    sent: u64,
    n: u64,
    now: Instant,
}

/// A leader and the name it gave to what cannot be gone on with.
type Led<T> = Result<T, LeaderFailure>;

fn fuse(steps: Arc<AtomicUsize>, crash_at: usize) -> Fuse {
    Fuse(Arc::new(move |_| {
        let step = steps.fetch_add(1, Ordering::SeqCst);
        if step == crash_at { Err("the power is gone") } else { Ok(()) }
    }))
}

impl Rig {
    fn new() -> Self {
        let state = SqliteMaterializer::in_memory(schema()).expect("room for a state");
        Self {
            storage: MemoryStorage::default(),
            state: Shared(Arc::new(Mutex::new(state))),
            backend: Vec::new(),
            pushes: VecDeque::new(),
            pull: PullId(0),
            sent: 0,
            n: 0,
            now: Instant::now(),
        }
    }

    fn open(&self, term: u64, fuse: Fuse) -> Led<LeaderCore> {
        let identity = || Identity {
            client_id: ClientId::new("client").expect("a good id"),
            secret: ClientSecret([1; 16]),
        };
        let log = Box::new(Passing(self.storage.open(), fuse.clone()));
        let state = Box::new(Passing(self.state.clone(), fuse));
        let config = LeaderConfig::default();
        Ok(LeaderCore::open(log, state, Term(term), config, self.now, true, identity, &mut |_| {})?)
    }

    /// Lives through a history; an error is a crash.
    fn live(&mut self, history: &[Happens], fuse: Fuse) -> Led<()> {
        let mut core = self.open(1, fuse)?;
        self.drive(&mut core)?;
        let session_id = SessionId::new("session").expect("a good id");
        let attach = Attach { session_id, cursor: SeqNum::ROOT, last_n: 0, label: "test".into() };
        self.give(&mut core, Input::Attach { link: LinkId(1), attach, record: None })?;
        for happens in history {
            match happens {
                Happens::Commit(kinds) => {
                    let push = self.unit(&core, kinds);
                    self.give(&mut core, Input::Session(LinkId(1), SessionMessage::Push(push)))?;
                    self.give(&mut core, Input::Session(LinkId(1), SessionMessage::Taken))?;
                }
                Happens::Foreign(count) => (0..*count).for_each(|_| self.append_foreign()),
                Happens::Page => {
                    let page = self.page(self.sent);
                    self.sent = page.through.0;
                    self.give(&mut core, Input::Page(self.pull, page))?;
                }
                Happens::Answer => {
                    if let Some((attempt, push)) = self.pushes.pop_front() {
                        let answer = self.admit(push);
                        self.give(&mut core, Input::PushAnswered(attempt, answer))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn give(&mut self, core: &mut LeaderCore, input: Input) -> Led<()> {
        core.handle(self.now, input);
        self.drive(core)
    }

    fn drive(&mut self, core: &mut LeaderCore) -> Led<()> {
        while let Some(effect) = core.poll(self.now)? {
            match effect {
                OutwardEffect::Push(attempt, push) => self.pushes.push_back((attempt, push)),
                OutwardEffect::StartPull(id, pull) => {
                    (self.pull, self.sent) = (id, pull.cursor.after.0);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn unit(&mut self, core: &LeaderCore, kinds: &[bool]) -> SessionPush {
        self.n += 1;
        let base = core.status().local_head;
        let mut head = base;
        let mut events = Vec::new();
        for (index, is_synced) in (0..).zip(kinds) {
            let text = format!("own {}.{index}", self.n);
            let new: NewEvent = if *is_synced { line(text) } else { draft(text) };
            head = match new.kind {
                EventKind::Synced => head.next_synced(head.generation),
                EventKind::ClientOnly => head.next_client_only(head.generation),
            };
            events.push(Event {
                num: head,
                name: new.name,
                args: new.args,
                client_id: ClientId::new("client").expect("a good id"),
                session_id: SessionId::new("session").expect("a good id"),
                commit: Some(CommitRef { n: self.n, index }),
                unit_end: index as usize + 1 == kinds.len(),
                is_own: true,
            });
        }
        SessionPush { attempt: self.n, base, events }
    }

    fn append_foreign(&mut self) {
        let head = self.backend.len() as u64;
        let new = line(format!("foreign {}", head + 1));
        self.backend.push(SyncedEvent {
            seq: GlobalSeq(head + 1),
            parent: GlobalSeq(head),
            name: new.name,
            args: new.args,
            client_id: ClientId::new("other").expect("a good id"),
            session_id: SessionId::new("other").expect("a good id"),
            commit: None,
            unit_end: true,
            created_at: None,
        });
    }

    fn page(&self, after: u64) -> PullPage {
        let events: Vec<SyncedEvent> = self.backend.iter().skip(after as usize).cloned().collect();
        PullPage::new(GlobalSeq(after), events.into(), None, backend_id(), PageInfo::CaughtUp)
    }

    fn admit(&mut self, push: Push) -> Result<PushAck, PushError> {
        let head = self.backend.len() as u64;
        if push.parent.0 != head {
            let missing = Some(Box::new(self.page(push.parent.0)));
            return Err(PushError::UpstreamAhead { head: GlobalSeq(head), missing });
        }
        self.backend.extend(push.events);
        let cursor = Cursor { after: GlobalSeq(self.backend.len() as u64), token: None };
        Ok(PushAck::new(backend_id(), cursor, UnixMillis(0)))
    }

    fn shown(&self) -> Vec<String> {
        lines(&*self.state.lock())
    }
}

fn backend_id() -> BackendId {
    BackendId::new("backend").expect("a good id")
}

fn never() -> Fuse {
    Fuse(Arc::new(|_| Ok(())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_step_recovers_to_a_fresh_replay(history in histories()) {
        let steps = Arc::new(AtomicUsize::new(0));
        let mut whole = Rig::new();
        whole.live(&history, fuse(steps.clone(), usize::MAX)).expect("nothing crashes");
        prop_assert_eq!(whole.shown(), replay(&whole.storage.open()));
        let all = steps.load(Ordering::SeqCst);
        for crash_at in 0..all {
            let mut rig = Rig::new();
            let crashed = rig.live(&history, fuse(Arc::default(), crash_at));
            prop_assert!(crashed.is_err(), "step {} of {} was not reached", crash_at, all);
            drop(rig.open(2, never()).expect("a log and a state that crashed open again"));
            prop_assert_eq!(rig.shown(), replay(&rig.storage.open()), "crashed at step {} of {}", crash_at, all);
        }
    }
}
