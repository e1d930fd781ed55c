//! A leader's processor with a log in memory; every effect becomes a line of text.
//!
//! ```text
//!   log + e1=a e2=b, settled e0, s1 through 2      one commit of the log
//!   log back to e0 + e1=x e2r1=a, settled e1       … that rolls back first
//!   push 1 after e0: e1=a e2=b                     the first attempt
//!   pull 0 after e0                                the first pull
//!   s1 ← advance e0 + e1=a, settled e0             an item of a session's stream
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livestore_engine::processor::{
    AttemptId, Effect, Input, LeaderConfig, LeaderProcessor, LinkId, PullId, Recovered,
};
use livestore_traits::{
    Applied, Args, Attach, BoxError, CommitRef, Cursor, Durability, Event, GlobalSeq, LeaderItem, LogCommit,
    LogCommitKind, PageInfo, PullError, PullPage, Push, PushAck, PushError, SeqNum, SessionMessage,
    SessionPayload, SessionPush, SyncedEvent, Term, UnixMillis,
};

use crate::support::{Log, backend_id, beginning, client_id, identity, name, session_id};

pub(crate) struct Bench {
    pub(crate) leader: LeaderProcessor,
    pub(crate) log: Log,
    pub(crate) now: Instant,
    pub(crate) config: LeaderConfig,
    /// The name and link of each attached session.
    links: BTreeMap<LinkId, String>,
    next_link: u64,
    pub(crate) pull: u64,
    /// The backend's id.
    pub(crate) backend: &'static str,
    /// The versions of the materialized state; they are those of the log whenever nothing is left to do.
    state: Vec<SeqNum>,
    /// How many changes of the state only forgot undo data.
    pub(crate) forgets: usize,
    /// The last push.
    pub(crate) pushed: Option<Push>,
}

pub(crate) fn num(text: &str) -> SeqNum {
    text.parse().expect("a number")
}

pub(crate) fn args(text: &str) -> Args {
    Args::parse(format!("\"{text}\"")).expect("JSON")
}

/// An event of another client.
pub(crate) fn foreign(seq: u64, text: &str) -> SyncedEvent {
    SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq - 1),
        name: name("e"),
        args: args(text),
        client_id: client_id("other"),
        session_id: session_id("other"),
        commit: None,
        unit_end: true,
        created_at: None,
    }
}

/// What the backend has of commit `n` of session `s1`.
pub(crate) fn own(seq: u64, n: u64, text: &str) -> SyncedEvent {
    SyncedEvent {
        client_id: client_id("c"),
        session_id: session_id("s1"),
        commit: Some(CommitRef { n, index: 0 }),
        ..foreign(seq, text)
    }
}

pub(crate) fn offline() -> BoxError {
    "offline".into()
}

impl Bench {
    /// A leader that has just begun and whose first pull has found an empty backend.
    pub(crate) fn caught_up() -> Self {
        let mut bench = Self::new(|_| {});
        bench.page(0, []);
        bench
    }

    /// A leader that has just begun.
    pub(crate) fn new(configure: impl FnOnce(&mut LeaderConfig)) -> Self {
        let mut config = LeaderConfig::default();
        configure(&mut config);
        Self::on(Log::default(), config).0
    }

    /// A leader that begins on this log, and what it does first.
    pub(crate) fn on(mut log: Log, config: LeaderConfig) -> (Self, Vec<String>) {
        let term = Term(log.heads.term.0 + 1);
        let identity = log.heads.identity.clone().unwrap_or_else(|| identity("c"));
        let commit = LogCommit { identity: Some(identity.clone()), ..LogCommit::new(&log.heads) };
        log.commit(term, commit).expect("the first commit of a term");
        let pending = log.after(log.heads.settled.position(), usize::MAX);
        let may_return = |event: &&Event| {
            event.num.is_synced() && event.is_own && event.num.position() > log.heads.upstream.head.position()
        };
        let archived = log.archived.iter().filter(may_return).cloned().collect();
        let recovered = Recovered { heads: log.heads.clone(), identity, pending, archived };
        let now = beginning();
        let leader = LeaderProcessor::new(config.clone(), term, now, recovered, true);
        let links = BTreeMap::new();
        let state = log.events.iter().map(|event| event.num).collect();
        let mut bench = Self {
            leader,
            log,
            now,
            config,
            links,
            next_link: 0,
            pull: 0,
            backend: "b",
            pushed: None,
            state,
            forgets: 0,
        };
        let first = bench.drive();
        (bench, first)
    }

    pub(crate) fn give(&mut self, input: Input) -> Vec<String> {
        self.leader.handle(self.now, input);
        self.drive()
    }

    /// Hands over an input together with others; effects follow with the next one.
    pub(crate) fn queue(&mut self, input: Input) {
        self.leader.handle(self.now, input);
    }

    pub(crate) fn drive(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(effect) = self.leader.poll_effect() {
            lines.extend(self.perform(effect));
        }
        assert!(
            self.state.iter().eq(self.log.events.iter().map(|event| &event.num)),
            "the state is not the log's"
        );
        lines
    }

    /// Lets time pass up to the next deadline; tells how long that took.
    pub(crate) fn wait(&mut self) -> (Duration, Vec<String>) {
        let due = self.leader.poll_timeout().expect("something is due");
        let waited = due.saturating_duration_since(self.now);
        self.now = self.now.max(due);
        self.leader.handle_timeout(self.now);
        (waited, self.drive())
    }

    fn perform(&mut self, effect: Effect) -> Option<String> {
        Some(match effect {
            Effect::CommitLog(commit) => {
                let line = show_commit(&commit);
                self.log.commit(self.log.heads.term, commit).expect("a commit that the log takes");
                line
            }
            Effect::Materialize { base, rollback_to, events, .. } => {
                self.materialize(base, rollback_to, &events);
                self.leader.handle(self.now, Input::Applied(Applied::default()));
                return None;
            }
            Effect::ReadLog { purpose, version } => {
                let common = self.log.common(version);
                let events = self.log.after(common.position(), 512);
                self.leader.handle(self.now, Input::LogRead { purpose, version, common, events });
                return None;
            }
            Effect::Attached(link, attached) => {
                let gone: Vec<u64> = attached.gone.iter().map(|gone| gone.n).collect();
                format!("{} attached, {} persisted, gone {gone:?}", self.links[&link], attached.persisted)
            }
            Effect::Publish(link, item) => format!("{} ← {}", self.links[&link], show_item(&item)),
            Effect::CloseLink(link) => format!("{} closed", self.links[&link]),
            Effect::StartPull(PullId(id), pull) => {
                self.pull = id;
                format!("pull {id} after {}", pull.cursor.after)
            }
            Effect::StopPull => "stop pulling".to_owned(),
            Effect::Push(AttemptId { count, .. }, push) => {
                let events: Vec<String> =
                    push.events.iter().map(|event| format!("{}={}", event.seq, text(&event.args))).collect();
                let line = format!("push {count} after {}: {}", push.parent, events.join(" "));
                self.pushed = Some(push);
                line
            }
            Effect::NewIdentity => "new identity".to_owned(),
            Effect::ReportUnknown(unknown) => format!("unknown {unknown:?}"),
            Effect::ReportAdopted(adopted) => format!("adopted {}", adopted[0]),
            Effect::Stop(_) => "stop".to_owned(),
        })
    }

    fn materialize(&mut self, base: SeqNum, rollback_to: Option<SeqNum>, events: &[Event]) {
        let head = self.state.last().copied().unwrap_or(SeqNum::ROOT);
        assert_eq!(base, head, "a change of the state builds on another version");
        if rollback_to.is_none() && events.is_empty() {
            self.forgets += 1;
        }
        if let Some(to) = rollback_to {
            self.state.retain(|num| num.position() <= to.position());
        }
        self.state.extend(events.iter().map(|event| event.num));
    }

    // ---- sessions

    /// Attaches the session `name` at `cursor`; its link has the number of attachments before.
    pub(crate) fn attach(&mut self, name: &str, cursor: &str) -> Vec<String> {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.links.insert(link, name.to_owned());
        let session_id = session_id(name);
        let record = self.log.sessions.get(&session_id).cloned();
        let attach = Attach { session_id, cursor: num(cursor), last_n: 0, label: "test".into() };
        let lines = self.give(Input::Attach { link, attach, record });
        self.take_all(link);
        lines
    }

    /// The link of this session.
    pub(crate) fn link(&self, name: &str) -> LinkId {
        *self.links.iter().rev().find(|(_, known)| *known == name).expect("it is attached").0
    }

    fn take_all(&mut self, link: LinkId) {
        for _ in 0..8 {
            self.queue(Input::Session(link, SessionMessage::Taken));
        }
    }

    /// A push of units that begin with commit `n`: separated by spaces, capitals are client-only events.
    pub(crate) fn units(&self, session: &str, base: &str, n: u64, units: &str) -> Vec<Event> {
        let mut head = num(base);
        let mut events = Vec::new();
        for (unit, n) in units.split_whitespace().zip(n..) {
            for (letter, index) in unit.chars().zip(0..) {
                head = if letter.is_ascii_uppercase() {
                    head.next_client_only(head.generation)
                } else {
                    head.next_synced(head.generation)
                };
                events.push(Event {
                    num: head,
                    name: name("e"),
                    args: args(&letter.to_ascii_lowercase().to_string()),
                    client_id: self.leader.status().client_id,
                    session_id: session_id(session),
                    commit: Some(CommitRef { n, index }),
                    unit_end: index as usize + 1 == unit.len(),
                    is_own: true,
                });
            }
        }
        events
    }

    pub(crate) fn push(
        &mut self,
        session: &str,
        attempt: u64,
        base: &str,
        n: u64,
        units: &str,
    ) -> Vec<String> {
        let input = self.push_input(session, attempt, base, n, units);
        let link = self.link(session);
        let lines = self.give(input);
        self.take_all(link);
        lines
    }

    pub(crate) fn push_input(&self, session: &str, attempt: u64, base: &str, n: u64, units: &str) -> Input {
        let events = self.units(session, base, n, units);
        let push = SessionPush { attempt, base: num(base), events };
        Input::Session(self.link(session), SessionMessage::Push(push))
    }

    // ---- the backend

    /// The page after `after` with these events; it reaches the head.
    pub(crate) fn page(&mut self, after: u64, events: impl IntoIterator<Item = SyncedEvent>) -> Vec<String> {
        let input = Input::Page(PullId(self.pull), self.a_page(after, events, PageInfo::CaughtUp));
        self.give(input)
    }

    pub(crate) fn a_page(
        &self,
        after: u64,
        events: impl IntoIterator<Item = SyncedEvent>,
        info: PageInfo,
    ) -> PullPage {
        let events: Arc<[SyncedEvent]> = events.into_iter().collect();
        PullPage::new(GlobalSeq(after), events, None, backend_id(self.backend), info)
    }

    pub(crate) fn pull_ends(&mut self, error: Option<PullError>) -> Vec<String> {
        self.give(Input::PullEnded(PullId(self.pull), error))
    }

    pub(crate) fn attempt(&self, count: u64) -> AttemptId {
        AttemptId { term: self.log.heads.term, count }
    }

    pub(crate) fn acknowledge(&mut self, attempt: u64, through: u64) -> Vec<String> {
        let cursor = Cursor { after: GlobalSeq(through), token: None };
        let ack = PushAck::new(backend_id(self.backend), cursor, UnixMillis(0));
        self.give(Input::PushAnswered(self.attempt(attempt), Ok(ack)))
    }

    pub(crate) fn refuse(&mut self, attempt: u64, error: PushError) -> Vec<String> {
        self.give(Input::PushAnswered(self.attempt(attempt), Err(error)))
    }

    pub(crate) fn ahead(&mut self, attempt: u64, head: u64, missing: Option<PullPage>) -> Vec<String> {
        let missing = missing.map(Box::new);
        self.refuse(attempt, PushError::UpstreamAhead { head: GlobalSeq(head), missing })
    }
}

/// A backend that pages, and can or cannot follow what comes later.
pub(crate) fn capabilities(live_pull: bool) -> livestore_traits::Capabilities {
    let mut capabilities = livestore_traits::Capabilities::new(Durability::Memory);
    capabilities.live_pull = live_pull;
    capabilities
}

fn text(args: &Args) -> &str {
    args.as_str().trim_matches('"')
}

fn show_events(events: &[Event]) -> String {
    let events: Vec<String> =
        events.iter().map(|event| format!(" {}={}", event.num, text(&event.args))).collect();
    if events.is_empty() { String::new() } else { format!(" +{}", events.concat()) }
}

fn show_commit(commit: &LogCommit) -> String {
    let kind = match &commit.kind {
        LogCommitKind::Append => String::new(),
        LogCommitKind::Rollback { to } => format!(" back to {to}"),
        LogCommitKind::Reset { base, .. } => format!(" reset at {base}"),
    };
    let mut line = format!("log{kind}{}, settled {}", show_events(&commit.append), commit.settled);
    for record in &commit.sessions {
        if record.persisted > 0 {
            line += &format!(", {} through {}", record.session_id, record.persisted);
        }
        for gone in &record.gone {
            line += &format!(", {} lost {}", record.session_id, gone.n);
        }
    }
    if let Some(identity) = &commit.identity {
        line += &format!(", client {}", identity.client_id);
    }
    line
}

fn show_item(item: &LeaderItem) -> String {
    let mut line = match &item.payload {
        SessionPayload::Advance { after, events, settled } => {
            format!("advance {after}{}, settled {settled}", show_events(events))
        }
        SessionPayload::Rebase { after, rollback_to, events, settled } => {
            format!("rebase {after} to {rollback_to}{}, settled {settled}", show_events(events))
        }
        SessionPayload::Accepted { attempt, after, last, settled } => {
            format!("accepted {attempt}: {after} to {last}, settled {settled}")
        }
        SessionPayload::Refused { attempt } => format!("refused {attempt}"),
    };
    for gone in &item.gone {
        line += &format!(", lost {}", gone.n);
    }
    if item.stream > 0 {
        line += &format!(", stream {}", item.stream);
    }
    line
}
