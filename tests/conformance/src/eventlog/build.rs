//! Logs and commits in event notation, and all that can be seen of a log as one value.

use livestore_traits::{
    ArchiveInfo, Args, ClientId, CommitRef, Event, EventName, Eventlog, EventlogError, EventlogReader, Heads,
    LogCommit, LogCommitKind, Position, ReadLimit, RebaseGeneration, SeqNum, SessionId, SessionRecord, Term,
};

use super::EventlogFixture;

/// The term of cases that are not about terms.
pub(super) const TERM: Term = Term(1);

/// Parses a number like `e3.1r2`.
pub(super) fn num(text: &str) -> SeqNum {
    text.parse().expect("a case writes valid numbers")
}

/// The place of a number like `e3.1`.
pub(super) fn at(text: &str) -> Position {
    num(text).position()
}

pub(super) fn session_id(text: &str) -> SessionId {
    SessionId::new(text).expect("a case writes valid ids")
}

/// The events with these numbers, each its own commit of session `s1`.
pub(super) fn chain(numbers: &str) -> Vec<Event> {
    numbers.split_whitespace().map(|text| event(num(text))).collect()
}

pub(super) fn event(num: SeqNum) -> Event {
    Event {
        num,
        name: EventName::new("v1.Noted").expect("the name is valid"),
        args: Args::from_value(&num.to_string()).expect("text is JSON"),
        client_id: ClientId::new("c1").expect("the id is valid"),
        session_id: session_id("s1"),
        commit: Some(CommitRef { n: num.global.0 + u64::from(num.client), index: 0 }),
        unit_end: true,
        is_own: true,
    }
}

/// A commit that appends these events.
pub(super) fn append(heads: &Heads, numbers: &str) -> LogCommit {
    let mut commit = LogCommit::new(heads);
    commit.append = chain(numbers);
    commit
}

/// A commit that rolls back to `to` in a new generation and appends these events.
pub(super) fn rollback(heads: &Heads, to: &str, numbers: &str) -> LogCommit {
    let to = num(to);
    let mut commit = LogCommit::new(heads);
    commit.kind = LogCommitKind::Rollback { to };
    commit.generation = heads.generation.next();
    commit.append = chain(numbers);
    commit
}

/// A commit that begins a new history at `base` in a new generation: nothing of it is settled beyond `base`.
pub(super) fn reset(heads: &Heads, base: &str, numbers: &str) -> LogCommit {
    let base = num(base);
    let mut commit = LogCommit::new(heads);
    commit.kind = LogCommitKind::Reset { base, reason: format!("reset to {base}") };
    commit.generation = heads.generation.next();
    commit.append = chain(numbers);
    commit.settled = base;
    commit.upstream.head = base;
    commit
}

/// Makes everything up to `head` confirmed.
pub(super) fn confirming(mut commit: LogCommit, head: &str) -> LogCommit {
    commit.settled = num(head);
    commit.upstream.head = num(head);
    commit.upstream.cursor.after = num(head).global;
    commit
}

/// Commits what must be taken.
pub(super) fn ok(log: &mut impl Eventlog, commit: LogCommit) -> Heads {
    let heads = log.commit(TERM, commit).expect("a commit that keeps the rules is taken");
    assert_eq!(log.heads().expect("heads can be read"), heads, "the heads stored are those returned");
    heads
}

/// A new log at a new place, which the case has to keep.
pub(super) fn create<F: EventlogFixture>(fixture: &F) -> (F::Storage, F::Eventlog) {
    let storage = fixture.storage();
    let log = fixture.open(&storage).expect("an empty place can be opened");
    (storage, log)
}

/// A new log with these events.
pub(super) fn create_with<F: EventlogFixture>(
    fixture: &F,
    numbers: &str,
) -> (F::Storage, F::Eventlog, Heads) {
    let (storage, mut log) = create(fixture);
    let mut commit = append(&Heads::default(), numbers);
    commit.generation = commit.append.last().map_or(RebaseGeneration(0), |event| event.num.generation);
    let heads = ok(&mut log, commit);
    (storage, log, heads)
}

/// All events of a log, read in small pages.
pub(super) fn events(log: &impl EventlogReader) -> Vec<Event> {
    paged(|after| log.read(after, ReadLimit::events(7)))
}

/// All events of an archive, read in small pages.
pub(super) fn archived(log: &impl EventlogReader, id: u64) -> Vec<Event> {
    paged(|after| log.read_archive(id, after, ReadLimit::events(7)))
}

fn paged(read: impl Fn(Position) -> Result<Vec<Event>, EventlogError>) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(Position::ROOT, |event| event.num.position());
        let page = read(after).expect("events can be read");
        let Some(first) = page.first() else { return events };
        // Otherwise a log that repeats itself would be read for ever.
        assert!(first.num.position() > after, "the page after {after} begins with {}", first.num);
        events.extend(page);
    }
}

/// The numbers of events in notation.
pub(super) fn numbers(events: &[Event]) -> String {
    events.iter().map(|event| event.num.to_string()).collect::<Vec<_>>().join(" ")
}

/// All that can be seen of a log.
#[derive(Debug, PartialEq)]
pub(super) struct View {
    pub(super) heads: Heads,
    pub(super) events: Vec<Event>,
    pub(super) sessions: Vec<Option<SessionRecord>>,
    pub(super) archives: Vec<(ArchiveInfo, Vec<Event>)>,
}

impl View {
    /// Of the sessions, those with ids `s1` to `s3` are looked at.
    pub(super) fn of(log: &impl EventlogReader) -> Self {
        let archives = log.archives().expect("archives can be listed");
        Self {
            heads: log.heads().expect("heads can be read"),
            events: events(log),
            sessions: ["s1", "s2", "s3"].map(|id| session(log, id)).into(),
            archives: archives.into_iter().map(|info| (info.clone(), archived(log, info.id))).collect(),
        }
    }
}

/// The record of a session, with what is gone in order of n.
pub(super) fn session(log: &impl EventlogReader, id: &str) -> Option<SessionRecord> {
    let mut record = log.session(&session_id(id)).expect("sessions can be read")?;
    record.gone.sort_by_key(|gone| gone.n);
    Some(record)
}

/// Commits what must be refused, and checks that it left no trace.
pub(super) fn refused(log: &mut impl Eventlog, commit: LogCommit, why: &str) {
    let before = View::of(log);
    match log.commit(TERM, commit) {
        Err(EventlogError::Refused(_)) => {}
        other => panic!("{why}: {other:?}"),
    }
    assert_eq!(View::of(log), before, "{why}: the refused commit left a trace");
}
