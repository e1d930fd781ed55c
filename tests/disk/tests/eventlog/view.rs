//! All that can be read of a log as one value, what a commit makes of it, and commits made up at random.

use fastrand::Rng;
use livestore_traits::{
    ArchiveInfo, Args, ClientId, CommitRef, Event, EventName, EventlogError, EventlogReader, GoneCommit,
    GoneReason, Heads, LogCommit, LogCommitKind, Position, ReadLimit, SeqNum, SessionId, SessionRecord, Term,
};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) heads: Heads,
    pub(crate) events: Vec<Event>,
    session: SessionRecord,
    archives: Vec<(ArchiveInfo, Vec<Event>)>,
}

fn session_id() -> SessionId {
    SessionId::new("session").expect("a valid id")
}

const ALL: ReadLimit = ReadLimit::events(100_000);

impl View {
    pub(crate) fn empty() -> Self {
        Self {
            heads: Heads::default(),
            events: Vec::new(),
            session: SessionRecord::new(session_id()),
            archives: Vec::new(),
        }
    }

    pub(crate) fn of(log: &impl EventlogReader) -> Result<Self, EventlogError> {
        let archive = |info: ArchiveInfo| {
            let events = log.read_archive(info.id, Position::ROOT, ALL)?;
            Ok((info, events))
        };
        Ok(Self {
            heads: log.heads()?,
            events: log.read(Position::ROOT, ALL)?,
            session: log.session(&session_id())?.unwrap_or_else(|| SessionRecord::new(session_id())),
            archives: log.archives()?.into_iter().map(archive).collect::<Result<_, _>>()?,
        })
    }

    /// What `commit` leads to.
    pub(crate) fn after(&self, term: Term, commit: &LogCommit) -> Self {
        let stands = |num| Ok(self.events.iter().any(|event| event.num == num));
        let mut next = self.clone();
        next.heads = commit.check(term, &self.heads, stands).expect("a commit that keeps the rules");
        let base = match &commit.kind {
            LogCommitKind::Append => self.heads.local,
            LogCommitKind::Rollback { to: base } | LogCommitKind::Reset { base, .. } => *base,
        };
        let kept = self.events.iter().take_while(|event| event.num.position() <= base.position()).count();
        let removed = next.events.split_off(kept);
        if let LogCommitKind::Reset { reason, .. } = &commit.kind {
            let info = ArchiveInfo {
                id: self.archives.len() as u64 + 1,
                base,
                head: self.heads.local,
                backend_id: None,
                reason: reason.clone(),
            };
            next.archives.push((info, removed));
        }
        next.events.extend(commit.append.iter().cloned());
        commit.sessions.iter().for_each(|record| next.session.merge(record));
        next
    }

    /// A commit of any kind after this.
    pub(crate) fn invent(&self, rng: &mut Rng) -> LogCommit {
        let mut commit = LogCommit::new(&self.heads);
        let mut base = self.heads.local;
        let kind = rng.u8(..12);
        if kind < 3 {
            let first = if kind == 0 { SeqNum::ROOT } else { self.heads.settled };
            base = self.any_from(first, rng);
            commit.generation = self.heads.generation.next();
            commit.kind = match kind {
                0 => LogCommitKind::Reset { base, reason: format!("after {base}") },
                _ => LogCommitKind::Rollback { to: base },
            };
        }
        commit.append = invent_events(base, &commit, rng);
        let last = commit.append.last().map_or(base, |event| event.num);
        if kind == 0 {
            (commit.settled, commit.upstream.head) = (base, base);
        } else if rng.bool() {
            (commit.settled, commit.upstream.head) = (last, last);
        }
        commit.upstream.cursor.after = commit.upstream.head.global;
        if rng.bool() {
            let mut record = SessionRecord::new(session_id());
            record.persisted = self.session.persisted + 1;
            if rng.u8(..4) == 0 {
                record.gone.push(GoneCommit { n: record.persisted, reason: GoneReason::Archived });
            }
            commit.sessions.push(record);
        }
        commit
    }

    /// The root or an event, not before `first`.
    fn any_from(&self, first: SeqNum, rng: &mut Rng) -> SeqNum {
        let all = std::iter::once(SeqNum::ROOT).chain(self.events.iter().map(|event| event.num));
        let from: Vec<_> = all.filter(|num| num.position() >= first.position()).collect();
        from[rng.usize(..from.len())]
    }
}

/// Few small events, or many large ones, for which the file has to grow.
fn invent_events(base: SeqNum, commit: &LogCommit, rng: &mut Rng) -> Vec<Event> {
    let (count, bytes) = if rng.u8(..4) == 0 { (rng.usize(..30), 8_000) } else { (rng.usize(..6), 50) };
    let mut num = base;
    (0..count)
        .map(|index| {
            num = if rng.u8(..4) == 0 {
                num.next_client_only(commit.generation)
            } else {
                num.next_synced(commit.generation)
            };
            let text = format!("{}{}", rng.u32(..), "x".repeat(rng.usize(..bytes)));
            Event {
                num,
                name: EventName::new("v1.Noted").expect("a valid name"),
                args: Args::from_value(&text).expect("text is JSON"),
                client_id: ClientId::new("c1").expect("a valid id"),
                session_id: session_id(),
                commit: Some(CommitRef { n: 1, index: index as u32 }),
                unit_end: true,
                is_own: true,
            }
        })
        .collect()
}
