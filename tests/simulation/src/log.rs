//! The log of a client under a model: what is durable, and whether each commit kept the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use livestore_traits::{
    ArchiveInfo, Event, Eventlog, EventlogError, EventlogReader, Heads, LogCommit, LogCommitKind, Position,
    ReadLimit, SeqNum, SessionId, SessionRecord, Term,
};

use crate::app::{Kind, Notebook};
use crate::broken::Broken;
use crate::faults::Fault;
use crate::gate::Gate;
use crate::record::Record;

/// What goes wrong with a commit to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFault {
    /// It fails, and nothing of it is done.
    Fails,
    /// The process crashes before it.
    CrashBefore,
    /// The process crashes when it is done.
    CrashAfter,
}

/// A version of an event, by which versions are told apart.
type Version = (Position, u64);

/// The durable log of a client, as it must be.
#[derive(Debug)]
pub(crate) struct LogModel {
    name: String,
    knows_extra: bool,
    entries: Vec<Entry>,
    heads: Heads,
    /// Every version that ever was durable.
    ever: BTreeSet<Version>,
    /// Of each session the last commit that is in the log or was taken out of it.
    persisted: BTreeMap<SessionId, u64>,
    /// A commit that failed and may be there all the same.
    doubt: Option<LogCommit>,
    /// The fault that comes, after so many commits.
    armed: Option<(usize, LogFault)>,
    /// The process that has it open.
    holder: Option<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    event: Event,
    /// The state after it.
    notebook: Notebook,
}

fn version(num: SeqNum) -> Version {
    (num.position(), num.generation.0)
}

impl LogModel {
    pub(crate) fn new(name: String, knows_extra: bool) -> Self {
        Self {
            name,
            knows_extra,
            entries: Vec::new(),
            heads: Heads::default(),
            ever: BTreeSet::from([version(SeqNum::ROOT)]),
            persisted: BTreeMap::new(),
            doubt: None,
            armed: None,
            holder: None,
        }
    }

    /// Whether a process of this name has the log open.
    pub(crate) fn is_held_by(&self, process: &str) -> bool {
        self.holder.as_deref() == Some(process)
    }

    pub(crate) fn release(&mut self) {
        self.holder = None;
    }

    pub(crate) fn arm(&mut self, commits: usize, fault: LogFault) {
        self.armed = Some((commits, fault));
    }

    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }

    /// Whether a version ever was durable.
    pub(crate) fn had(&self, num: SeqNum) -> bool {
        self.ever.contains(&version(num))
    }

    /// The state at a version of the log, if it is there now.
    pub(crate) fn state_at(&self, num: SeqNum) -> Option<Notebook> {
        if num == SeqNum::ROOT {
            return Some(Notebook::default());
        }
        let at =
            self.entries.binary_search_by_key(&num.position(), |entry| entry.event.num.position()).ok()?;
        let entry = &self.entries[at];
        (entry.event.num == num).then(|| entry.notebook.clone())
    }

    /// The state of the whole log.
    pub(crate) fn state(&self) -> Notebook {
        self.entries.last().map(|entry| entry.notebook.clone()).unwrap_or_default()
    }

    /// The fault that comes now, if one does.
    fn take_fault(&mut self) -> Option<LogFault> {
        let (commits, fault) = self.armed.as_mut()?;
        if *commits > 0 {
            *commits -= 1;
            return None;
        }
        let fault = *fault;
        self.armed = None;
        Some(fault)
    }

    /// Takes a commit in, and checks that it keeps the rules.
    fn commit(&mut self, record: &Record, term: Term, commit: &LogCommit) {
        let name = self.name.clone();
        let rule = |holds: bool, what: &str| record.check(holds, || format!("{name}: {what}: {commit:?}"));
        rule(term >= self.heads.term, "the log took a commit of a leader that was replaced");
        let is_reset = matches!(commit.kind, LogCommitKind::Reset { .. });
        let base = match commit.kind {
            LogCommitKind::Append => self.heads.local,
            LogCommitKind::Rollback { to } => to,
            LogCommitKind::Reset { base, .. } => base,
        };
        let before = self.heads.local;
        rule(is_reset || base.position() >= self.heads.settled.position(), "what is settled was rolled back");
        rule(is_reset || commit.settled.position() >= self.heads.settled.position(), "the settled head fell");
        rule(
            is_reset || commit.upstream.head.position() >= self.heads.upstream.head.position(),
            "the upstream head fell",
        );
        self.entries.retain(|entry| entry.event.num.position() <= base.position());
        let mut head = self.entries.last().map_or(SeqNum::ROOT, |entry| entry.event.num);
        rule(head == base || base == SeqNum::ROOT, "it follows nothing that is there");
        for event in &commit.append {
            let generation = event.num.generation;
            let next = [head.next_synced(generation), head.next_client_only(generation)];
            rule(next.contains(&event.num), "the chain has a gap");
            rule(event.num.generation >= head.generation, "the generation fell along the log");
            head = event.num;
            rule(self.ever.insert(version(head)), "a version was used twice");
            if let Some((session, commit)) = event.identity() {
                let known = self.persisted.entry(session.clone()).or_default();
                rule(commit.n <= *known + 1, "a commit of a session is missing");
                *known = commit.n.max(*known);
            }
            self.push(event);
        }
        let drops = commit.sessions.iter().any(|session| !session.gone.is_empty());
        rule(is_reset || drops || head.position() >= before.position(), "the local head fell");
        for session in &commit.sessions {
            let known = self.persisted.entry(session.session_id.clone()).or_default();
            *known = session.persisted.max(*known);
        }
        self.heads.local = head;
        self.heads.settled = commit.settled;
        self.heads.upstream = commit.upstream.clone();
        self.heads.generation = commit.generation;
        self.heads.term = term.max(self.heads.term);
        if commit.identity.is_some() {
            self.heads.identity = commit.identity.clone();
        }
    }

    fn push(&mut self, event: &Event) {
        let mut notebook = self.state();
        let kind = Kind::of(event.name.as_str()).filter(|kind| self.knows_extra || *kind != Kind::Extra);
        if let Some(kind) = kind {
            // A failing event leaves no trace.
            let _ = notebook.apply(kind, &text_of(event));
        }
        self.entries.push(Entry { event: event.clone(), notebook });
    }
}

/// What an event of the application says.
pub(crate) fn text_of(event: &Event) -> String {
    let text: Option<crate::app::Put> = event.args.to_value().ok();
    text.map(|event| event.text).unwrap_or_default()
}

/// A handle of the model.
#[derive(Clone, Debug)]
pub(crate) struct ModelHandle(Arc<Mutex<LogModel>>);

impl ModelHandle {
    pub(crate) fn new(model: LogModel) -> Self {
        Self(Arc::new(Mutex::new(model)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LogModel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log of which each commit and each read is checked. It does nothing more when its process is dead.
#[derive(Debug)]
pub(crate) struct CheckedLog {
    log: Box<dyn Eventlog>,
    model: ModelHandle,
    record: Record,
    process: Opener,
}

/// Who opens a log.
#[derive(Clone, Debug)]
pub(crate) struct Opener {
    pub(crate) name: String,
    pub(crate) gate: Gate,
    pub(crate) broken: Option<Broken>,
}

impl CheckedLog {
    /// A log that `process` opened just now: it has what it must have.
    pub(crate) fn new(
        log: Box<dyn Eventlog>,
        model: ModelHandle,
        record: Record,
        process: Opener,
    ) -> Result<Self, EventlogError> {
        model.lock().holder = Some(process.name.clone());
        let opened = Self { log, model, record, process };
        opened.compare()?;
        Ok(opened)
    }

    /// Compares the whole log with the model, in which a commit may be in doubt.
    fn compare(&self) -> Result<(), EventlogError> {
        let events = read_all(&*self.log)?;
        let heads = self.log.heads()?;
        let mut model = self.model.lock();
        let doubt = model.doubt.take();
        if is_same(&model, &events, &heads) {
            return Ok(());
        }
        if let Some(commit) = doubt {
            model.commit(&self.record, heads.term, &commit);
        }
        let name = &model.name;
        self.record.check(is_same(&model, &events, &heads), || {
            let known = model.entries.iter().map(|entry| entry.event.num.to_string());
            let found = events.iter().map(|event| event.num.to_string());
            let (known, found): (Vec<_>, Vec<_>) = (known.collect(), found.collect());
            format!("{name}: the log has {found:?}, {heads:?}, and not {known:?}, {:?}", model.heads)
        });
        Ok(())
    }

    fn alive(&self) -> Result<(), EventlogError> {
        if self.process.gate.is_dead() { Err(EventlogError::Closed) } else { Ok(()) }
    }
}

impl Drop for CheckedLog {
    fn drop(&mut self) {
        let mut model = self.model.lock();
        if model.is_held_by(&self.process.name) && !self.process.gate.is_dead() {
            model.release();
        }
    }
}

fn is_same(model: &LogModel, events: &[Event], heads: &Heads) -> bool {
    model.heads == *heads && model.entries.iter().map(|entry| &entry.event).eq(events)
}

/// All events of a log.
pub(crate) fn read_all(log: &dyn EventlogReader) -> Result<Vec<Event>, EventlogError> {
    let mut events = Vec::new();
    loop {
        let after = events.last().map_or(Position::ROOT, |event: &Event| event.num.position());
        let page = log.read(after, ReadLimit::events(1000))?;
        if page.is_empty() {
            return Ok(events);
        }
        events.extend(page);
    }
}

impl EventlogReader for CheckedLog {
    fn heads(&self) -> Result<Heads, EventlogError> {
        self.alive()?;
        self.log.heads()
    }
    fn read(&self, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        self.alive()?;
        let events = self.log.read(after, limit)?;
        let model = self.model.lock();
        let from = model.entries.partition_point(|entry| entry.event.num.position() <= after);
        let known = model.entries[from..].iter().map(|entry| &entry.event).take(events.len());
        self.record.check(known.eq(&events), || format!("{}: a read after {after:?} is wrong", model.name));
        Ok(events)
    }
    fn common(&self, version: SeqNum) -> Result<SeqNum, EventlogError> {
        self.alive()?;
        self.log.common(version)
    }
    fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
        self.alive()?;
        self.log.session(session_id)
    }
    fn archives(&self) -> Result<Vec<ArchiveInfo>, EventlogError> {
        self.log.archives()
    }
    fn read_archive(&self, id: u64, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        self.log.read_archive(id, after, limit)
    }
}

impl Eventlog for CheckedLog {
    fn commit(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        self.alive()?;
        let fault = self.model.lock().take_fault();
        match fault {
            Some(LogFault::Fails) => {
                self.record.fault(Fault::LogFailure, &self.model.lock().name);
                return Err(EventlogError::Storage("the device failed".into()));
            }
            Some(LogFault::CrashBefore) => {
                self.record.fault(Fault::CommitCrash, format_args!("{}, before", self.model.lock().name));
                self.process.gate.kill();
                return Err(EventlogError::Closed);
            }
            Some(LogFault::CrashAfter) | None => {}
        }
        let offered = term;
        let term = match self.process.broken {
            Some(Broken::SkippedFencing) => term.max(self.log.heads()?.term),
            _ => term,
        };
        match self.log.commit(term, commit.clone()) {
            Ok(heads) => {
                let mut model = self.model.lock();
                model.commit(&self.record, offered, &commit);
                self.record.check(heads == model.heads, || {
                    format!("{}: a commit answers {heads:?}, not {:?}", model.name, model.heads)
                });
                self.record.tell(format_args!("{}: {}", model.name, notation(offered, &commit)));
                if fault.is_some() {
                    self.record.fault(Fault::CommitCrash, format_args!("{}, after", model.name));
                    self.process.gate.kill();
                    return Err(EventlogError::Closed);
                }
                Ok(heads)
            }
            Err(error) => {
                let mut model = self.model.lock();
                self.record.tell(format_args!("{}: a commit failed: {error}", model.name));
                if !matches!(error, EventlogError::Fenced { .. } | EventlogError::Refused(_)) {
                    model.doubt = Some(commit);
                }
                Err(error)
            }
        }
    }
    fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        self.log.reader()
    }
}

/// A commit in event notation.
fn notation(term: Term, commit: &LogCommit) -> String {
    let kind = match &commit.kind {
        LogCommitKind::Append => String::new(),
        LogCommitKind::Rollback { to } => format!(" back to {to},"),
        LogCommitKind::Reset { base, .. } => format!(" reset to {base},"),
    };
    let appended = match commit.append.as_slice() {
        [] => String::new(),
        [event] => format!(" + {} {}", event.num, event.args.as_str()),
        [first, .., last] => format!(" + {}..{}", first.num, last.num),
    };
    let (settled, upstream) = (commit.settled, commit.upstream.head);
    format!("term {}:{kind}{appended} (settled {settled}, upstream {upstream})", term.0)
}
