//! A storage in memory whose commits can be held up, and fail on demand.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

use livestore_backend_log::{Changes, CommitError, Head, LogInfo, LogNo, LogStorage, PageBuilder, Tag};
use livestore_traits::{
    BackendId, BoxError, ClientId, ClientSecret, Durability, GlobalSeq, StoreId, SyncedEvent,
};

/// What the next commit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeed,
    Undo,
    Fail,
    Panic,
}

#[derive(Debug)]
struct State {
    gate_open: bool,
    /// Whether a commit stands at the closed gate.
    writer_waits: bool,
    next: Outcome,
    failed: bool,
    commits_after_failure: usize,
    stores: HashMap<StoreId, (LogNo, BackendId)>,
    events: HashMap<LogNo, Vec<(SyncedEvent, Tag)>>,
}

/// Outlives the storage, as a disk does.
#[derive(Debug)]
pub(crate) struct Disk {
    state: Mutex<State>,
    changed: Condvar,
}

impl Default for Disk {
    fn default() -> Self {
        let state = State {
            gate_open: true,
            writer_waits: false,
            next: Outcome::Succeed,
            failed: false,
            commits_after_failure: 0,
            stores: HashMap::new(),
            events: HashMap::new(),
        };
        Self { state: state.into(), changed: Condvar::new() }
    }
}

impl Disk {
    /// From now on a commit stores its changes but does not return.
    pub(crate) fn close_gate(&self) {
        self.state.lock().unwrap().gate_open = false;
    }

    pub(crate) fn open_gate(&self) {
        self.state.lock().unwrap().gate_open = true;
        self.changed.notify_all();
    }

    /// Whether a commit stands at the closed gate.
    pub(crate) fn writer_waits(&self) -> bool {
        self.state.lock().unwrap().writer_waits
    }

    pub(crate) fn next(&self, outcome: Outcome) {
        self.state.lock().unwrap().next = outcome;
    }

    pub(crate) fn commits_after_failure(&self) -> usize {
        self.state.lock().unwrap().commits_after_failure
    }
}

#[derive(Debug)]
pub(crate) struct GatedStorage(pub(crate) Arc<Disk>);

impl LogStorage for GatedStorage {
    const NAME: &'static str = "gated";
    const DURABILITY: Durability = Durability::Memory;
    const READS_BLOCK: bool = true;

    fn next_log(&self) -> Result<LogNo, BoxError> {
        Ok(LogNo(self.0.state.lock().unwrap().stores.len() as u32))
    }

    fn find(&self, store: &StoreId) -> Result<Option<LogInfo>, BoxError> {
        let state = self.0.state.lock().unwrap();
        let Some((log, backend_id)) = state.stores.get(store) else { return Ok(None) };
        let last = state.events.get(log).and_then(|events| events.last());
        let head = last.map_or_else(Head::default, |(event, tag)| Head { seq: event.seq, tag: Some(*tag) });
        Ok(Some(LogInfo { log: *log, backend_id: backend_id.clone(), head }))
    }

    fn commit(&self, changes: &Changes) -> Result<(), CommitError> {
        let mut state = self.0.state.lock().unwrap();
        state.commits_after_failure += usize::from(state.failed);
        let outcome = std::mem::replace(&mut state.next, Outcome::Succeed);
        state.failed |= matches!(outcome, Outcome::Fail | Outcome::Panic);
        if outcome == Outcome::Undo {
            return Err(CommitError::Undone("no room".into()));
        }
        for new in &changes.created {
            state.stores.insert(new.store.clone(), (new.log, new.backend_id.clone()));
        }
        for batch in &changes.batches {
            let stored = batch.events.iter().map(|event| (event.clone(), batch.tag));
            state.events.entry(batch.log).or_default().extend(stored);
        }
        if !state.gate_open {
            state.writer_waits = true;
            state = self.0.changed.wait_while(state, |state| !state.gate_open).unwrap();
            state.writer_waits = false;
        }
        drop(state);
        match outcome {
            Outcome::Fail => Err(CommitError::Failed("the sync failed".into())),
            Outcome::Panic => panic!("the storage meets a page that makes no sense"),
            Outcome::Succeed | Outcome::Undo => Ok(()),
        }
    }

    fn read(
        &self,
        log: LogNo,
        after: GlobalSeq,
        through: GlobalSeq,
        page: &mut PageBuilder,
    ) -> Result<(), BoxError> {
        let state = self.0.state.lock().unwrap();
        for (event, tag) in state.events.get(&log).into_iter().flatten() {
            let wanted = event.seq > after && event.seq <= through;
            if wanted && !page.push(event.clone(), *tag)? {
                break;
            }
        }
        Ok(())
    }

    fn tag(&self, log: LogNo, seq: GlobalSeq) -> Result<Option<Tag>, BoxError> {
        let state = self.0.state.lock().unwrap();
        let mut events = state.events.get(&log).into_iter().flatten();
        Ok(events.find(|(event, _)| event.seq == seq).map(|(_, tag)| *tag))
    }

    fn owner(&self, _: LogNo, _: &ClientId) -> Result<Option<ClientSecret>, BoxError> {
        Ok(None)
    }
}
