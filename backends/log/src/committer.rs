//! The critical section: a group of commands is decided in order, made durable together, then shown and answered.
//!
//! ```text
//!  commands ─► stage each on the heads staged so far ─► one LogStorage::commit ─► publish ─► answer
//! ```
//!
//! Nothing is answered before the commit: an answer may rest on what was staged, and what is not durable must not be seen.

use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use livestore_traits::{BackendId, BoxError, ClientId, ClientSecret, Push, PushAck, StoreId};
use tokio::sync::oneshot;

use crate::admission::{self, Admission};
use crate::log::{Log, OpenLogs};
use crate::stores::Counters;
use crate::tail::Tails;
use crate::{Batch, Changes, CommitError, Failure, Head, LogConfig, LogInfo, LogNo, LogStorage, NewLog, Tag};

/// What the critical section decided about a push.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted(PushAck),
    /// It does not follow the head; here it is back.
    Stale(Push),
    /// Another client owns the client id.
    Taken,
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, Failure>>;

#[derive(Debug)]
pub(crate) enum Command {
    /// Opens a store, and creates it if there is none.
    Open { store: StoreId, answer: Answer<Arc<Log>> },
    /// Appends a checked push.
    Push { log: Arc<Log>, push: Push, answer: Answer<Verdict> },
}

#[derive(Debug)]
pub(crate) struct Committer<S> {
    storage: Arc<S>,
    open: Arc<OpenLogs>,
    counters: Arc<Counters>,
    config: LogConfig,
    random: fastrand::Rng,
    next_log: LogNo,
    tails: Tails,
    /// Set when a write failed in a way that nothing may follow.
    closed: Option<Failure>,
}

/// What one group comes to.
#[derive(Debug, Default)]
struct Group {
    changes: Changes,
    heads: HashMap<LogNo, Head>,
    owners: HashMap<(LogNo, ClientId), ClientSecret>,
    /// The logs and new heads of `changes.batches`.
    published: Vec<(Arc<Log>, Head)>,
    opens: Vec<(Opening, Answer<Arc<Log>>)>,
    pushes: Vec<(Result<Verdict, Failure>, Answer<Verdict>)>,
}

#[derive(Debug)]
enum Opening {
    Done(Result<Arc<Log>, Failure>),
    /// The log at this place of `changes.created`.
    Created(usize),
}

impl<S: LogStorage> Committer<S> {
    pub(crate) fn new(
        storage: Arc<S>,
        open: Arc<OpenLogs>,
        counters: Arc<Counters>,
        config: LogConfig,
    ) -> Result<Self, Failure> {
        let next_log = storage.next_log().map_err(Failure::read)?;
        let tails = Tails::new(config.tails_bytes);
        let random = fastrand::Rng::new();
        Ok(Self { storage, open, counters, config, random, next_log, tails, closed: None })
    }

    /// Performs a group of commands and answers each.
    pub(crate) fn run(&mut self, commands: impl IntoIterator<Item = Command>) {
        let mut group = Group::default();
        for command in commands {
            match command {
                Command::Open { store, answer } => {
                    let opening = self.stage_open(&mut group, store);
                    group.opens.push((opening, answer));
                }
                Command::Push { log, push, answer } => {
                    let verdict = self.stage_push(&mut group, log, push);
                    group.pushes.push((verdict, answer));
                }
            }
        }
        match self.commit(&group.changes) {
            Ok(()) => self.finish(group),
            Err(failure) => group.fail(&failure),
        }
    }

    fn stage_open(&mut self, group: &mut Group, store: StoreId) -> Opening {
        if let Some(log) = self.open.find(&store) {
            return Opening::Done(Ok(log));
        }
        if let Some(place) = group.changes.created.iter().position(|new| new.store == store) {
            return Opening::Created(place);
        }
        match guard(|| self.storage.find(&store)) {
            Ok(Some(info)) => Opening::Done(Ok(self.open.insert(store, info, self.config.tail_bytes))),
            Ok(None) => {
                let log = self.next_log;
                self.next_log = LogNo(log.0 + 1);
                group.changes.created.push(NewLog { log, store, backend_id: new_backend_id() });
                Opening::Created(group.changes.created.len() - 1)
            }
            Err(source) => Opening::Done(Err(Failure::read(source))),
        }
    }

    fn stage_push(&mut self, group: &mut Group, log: Arc<Log>, push: Push) -> Result<Verdict, Failure> {
        let head = match group.heads.get(&log.no) {
            Some(head) => *head,
            None => log.head()?,
        };
        let owner = self.owner(group, &log, &push)?;
        let owner = match admission::admit(&push, head.seq, owner) {
            Admission::Accept(owner) => owner,
            Admission::Stale => return Ok(Verdict::Stale(push)),
            Admission::Taken => return Ok(Verdict::Taken),
        };
        let created_at = self.config.clock.now();
        let tag = Tag(self.random.u64(..).to_le_bytes());
        let mut events = push.events;
        for event in &mut events {
            event.created_at = Some(created_at);
        }
        let end = Head { seq: events.last().map_or(head.seq, |event| event.seq), tag: Some(tag) };
        let ack = PushAck::new(log.backend_id.clone(), end.cursor(), created_at);
        group.heads.insert(log.no, end);
        if let Some(owner) = &owner {
            group.owners.insert((log.no, owner.client_id.clone()), owner.secret);
        }
        group.changes.batches.push(Batch { log: log.no, tag, events: events.into(), owner });
        group.published.push((log, end));
        Ok(Verdict::Accepted(ack))
    }

    /// The owner of the client id that the push claims, staged or stored.
    fn owner(&self, group: &Group, log: &Log, push: &Push) -> Result<Option<ClientSecret>, Failure> {
        let Some(client_id) = admission::claimed(push) else { return Ok(None) };
        match group.owners.get(&(log.no, client_id.clone())) {
            Some(secret) => Ok(Some(*secret)),
            None => guard(|| self.storage.owner(log.no, client_id)).map_err(Failure::read),
        }
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), Failure> {
        if let Some(failure) = &self.closed {
            return Err(failure.clone());
        }
        if changes.is_empty() {
            return Ok(());
        }
        match guard(|| Ok(self.storage.commit(changes)))
            .unwrap_or_else(|panic| Err(CommitError::Failed(panic)))
        {
            Ok(()) => {
                self.counters.committed(changes);
                Ok(())
            }
            Err(CommitError::Undone(source)) => Err(Failure::undone(source)),
            Err(CommitError::Failed(source)) => {
                let failure = Failure::closed(source);
                self.closed = Some(failure.clone());
                self.counters.failed(&failure);
                self.open.fail(&failure);
                Err(failure)
            }
        }
    }

    /// Shows what is durable now, then answers.
    fn finish(&mut self, group: Group) {
        for (batch, (log, head)) in group.changes.batches.iter().zip(&group.published) {
            let bytes = log.publish(batch, *head);
            self.tails.note(log, head.seq, bytes);
        }
        let created: Vec<Arc<Log>> = group
            .changes
            .created
            .into_iter()
            .map(|new| {
                let info = LogInfo { log: new.log, backend_id: new.backend_id, head: Head::default() };
                self.open.insert(new.store, info, self.config.tail_bytes)
            })
            .collect();
        // Who asked may be gone; what was asked for is done all the same.
        for (opening, answer) in group.opens {
            let _ = answer.send(match opening {
                Opening::Done(result) => result,
                Opening::Created(place) => Ok(created[place].clone()),
            });
        }
        for (verdict, answer) in group.pushes {
            let _ = answer.send(verdict);
        }
    }
}

impl Group {
    /// Nothing of the group is stored. Even a refusal may rest on a batch that was staged before it.
    fn fail(self, failure: &Failure) {
        for (_, answer) in self.opens {
            let _ = answer.send(Err(failure.clone()));
        }
        for (_, answer) in self.pushes {
            let _ = answer.send(Err(failure.clone()));
        }
    }
}

/// Turns a panic of the storage, as over a damaged file, into an error: the other stores must still get answers.
fn guard<T>(call: impl FnOnce() -> Result<T, BoxError>) -> Result<T, BoxError> {
    // The storage is not used again for what panicked: a commit that does closes it, a read changes nothing.
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err("the storage panicked".into()))
}

/// A name for a new incarnation of a log.
pub(crate) fn new_backend_id() -> BackendId {
    BackendId::new(nanoid::nanoid!()).expect("a nanoid is a valid backend id")
}
