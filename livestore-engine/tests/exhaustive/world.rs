//! Clients, their sessions and a backend as one value: everything that may happen next, and what happens then.
//!
//! The processors are the real ones; the network, the disks and the backend are plain data. A leader that crashes keeps
//! its log and its state as far as effects were performed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use livestore_engine::processor::{
    AttemptId, Diverged, Effect, Input, LeaderConfig, LeaderProcessor, LinkId, PullId, ReadPurpose,
    ReceiptUpdate, Recovered, SessionConfig, SessionEffect, SessionProcessor,
};
use livestore_traits::{
    Applied, Args, Attach, Event, EventKind, LeaderItem, LogCommit, NewEvent, Position, PullError, PullPage,
    Push, SeqNum, SessionId, SessionMessage, SessionPayload, Term,
};

use crate::backend::{Answer, Backend, Ghost};
use crate::check::Checked;
use crate::state::State;
use crate::support::{Log, beginning, identity, name, session_id};

/// What a test is about.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) clients: usize,
    /// The client of each session, and its commits: units separated by spaces, capitals are client-only events, `x` is
    /// refused by the backend.
    pub(crate) sessions: Vec<(usize, &'static str)>,
    /// Events that others append to the backend.
    pub(crate) foreign: u64,
    pub(crate) faults: u32,
    pub(crate) restores: u32,
    /// Whether pages are cut anywhere, or hold all there is.
    pub(crate) cut: bool,
    pub(crate) native: bool,
    pub(crate) mutation: Mutation,
}

/// A rule that the surroundings break on purpose, to see that the search notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    None,
    /// Items do not tell which commits are gone.
    HidesGone,
    /// Attaching does not end what older links still hold.
    KeepsOldLinks,
    /// The log does not keep how far commits were persisted, once they are dropped.
    ForgetsPersisted,
    /// Attempt ids begin anew with every leader.
    ReusesAttempts,
    /// Payloads say that more is settled than they bring.
    SettlesTooMuch,
    /// A reset does not tell what it archived.
    HidesArchived,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) backend: Backend,
    pub(crate) clients: Vec<Client>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) faults: u32,
    pub(crate) restores: u32,
    /// The first rule that was broken.
    pub(crate) broken: Option<String>,
    next_link: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) log: Log,
    pub(crate) state: State,
    pub(crate) leader: Option<LeaderProcessor>,
    pub(crate) now: Instant,
    pub(crate) pull: Option<OpenPull>,
    /// Pushes on their way to the backend.
    pub(crate) pushes: Vec<(AttemptId, Push)>,
    /// Answers on their way back.
    pub(crate) answers: Vec<(AttemptId, Answer)>,
    pub(crate) checked: Checked,
}

#[derive(Clone, Debug)]
pub(crate) struct OpenPull {
    id: PullId,
    pub(crate) after: u64,
    is_first: bool,
    diverged: bool,
    pub(crate) pages: VecDeque<PullPage>,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) client: usize,
    pub(crate) id: SessionId,
    /// `None` after a crash, until it starts again.
    pub(crate) processor: Option<SessionProcessor>,
    pub(crate) state: State,
    now: Instant,
    wants: Option<Wanted>,
    pub(crate) link: Option<LinkId>,
    /// Messages on their way to the leader; also of older links, if nothing ends those.
    pub(crate) up: VecDeque<(LinkId, SessionMessage)>,
    pub(crate) down: VecDeque<LeaderItem>,
    /// Commits made so far, of the script.
    pub(crate) next: usize,
    /// The commits of this life.
    pub(crate) committed: BTreeSet<u64>,
    pub(crate) receipts: BTreeMap<u64, ReceiptUpdate>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Attach(Attach),
    Restart,
}

/// When a leader crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    Never,
    AfterLog,
    AfterState,
}

/// Something that may happen. The numbers are places in the lists above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Commit(usize),
    /// The session attaches, or starts anew.
    Attach(usize),
    Up(usize, Crash),
    Down(usize),
    SessionTime(usize),
    DropLink(usize),
    SessionCrash(usize),
    SessionStart(usize),
    /// The backend sends so many events.
    Send(usize, usize),
    Page(usize, Crash),
    Disconnect(usize),
    /// A push reaches the backend; whether the answer to a stale one brings what is missing.
    Push(usize, usize, bool),
    Answer(usize, usize, Crash),
    LosePush(usize, usize),
    LoseAnswer(usize, usize),
    LeaderTime(usize),
    LeaderCrash(usize),
    LeaderStart(usize),
    Foreign,
    Restore(usize),
}

/// A wait that no search goes through.
const NEVER: Duration = Duration::from_secs(3600);

fn leader_config() -> LeaderConfig {
    let mut config = LeaderConfig::default();
    (config.backoff_min, config.backoff_max) = (Duration::ZERO, Duration::ZERO);
    (config.silence_timeout, config.fairness_time, config.gather_time) =
        (NEVER, Duration::ZERO, Duration::ZERO);
    // Small, so that logs are read and queues are full within a few events.
    (config.tail_events, config.items_ahead, config.diverged) = (2, 2, Diverged::Reset);
    config
}

fn session_config() -> SessionConfig {
    let mut config = SessionConfig::default();
    (config.backoff_min, config.backoff_max) = (Duration::ZERO, Duration::ZERO);
    config
}

/// The events of one unit of a script.
fn unit(text: &str) -> Vec<NewEvent> {
    let event = |letter: char| {
        let kind = if letter.is_ascii_uppercase() { EventKind::ClientOnly } else { EventKind::Synced };
        let args = Args::parse(format!("\"{}\"", letter.to_ascii_lowercase())).unwrap();
        NewEvent { name: name("e"), args, kind }
    };
    text.chars().map(event).collect()
}

pub(crate) fn ghost(event: &Event) -> Ghost {
    let commit = event.commit.map_or((0, 0), |commit| (commit.n, commit.index));
    (event.session_id.to_string(), commit.0, commit.1)
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let now = beginning();
        let client = |_| Client {
            log: Log::default(),
            state: State::default(),
            leader: None,
            now,
            pull: None,
            pushes: Vec::new(),
            answers: Vec::new(),
            checked: Checked::default(),
        };
        let session = |(index, (client, _)): (usize, &(usize, &str))| Session {
            client: *client,
            id: session_id(&format!("s{index}")),
            processor: None,
            state: State::default(),
            now,
            wants: None,
            link: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            next: 0,
            committed: BTreeSet::new(),
            receipts: BTreeMap::new(),
        };
        let mut world = Self {
            backend: Backend::new(scenario.native),
            clients: (0..scenario.clients).map(client).collect(),
            sessions: scenario.sessions.iter().enumerate().map(session).collect(),
            faults: scenario.faults,
            restores: scenario.restores,
            broken: None,
            next_link: 0,
            scenario,
        };
        for client in 0..world.clients.len() {
            world.start_leader(client);
        }
        for session in 0..world.sessions.len() {
            world.start_session(session);
        }
        world
    }

    pub(crate) fn fail(&mut self, why: impl Into<String>) {
        self.broken.get_or_insert(why.into());
    }

    // ---- what may happen

    pub(crate) fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let faulty = self.faults > 0;
        let crashes: &[Crash] =
            if faulty { &[Crash::Never, Crash::AfterLog, Crash::AfterState] } else { &[Crash::Never] };
        for index in 0..self.sessions.len() {
            self.session_actions(index, faulty, crashes, &mut actions);
        }
        for index in 0..self.clients.len() {
            self.client_actions(index, faulty, crashes, &mut actions);
        }
        if self.backend.foreign < self.scenario.foreign {
            actions.push(Action::Foreign);
        }
        if self.restores > 0 {
            let ends = (0..=self.backend.events.len()).filter(|count| self.backend.is_unit_end(*count));
            actions.extend(ends.map(Action::Restore));
        }
        actions
    }

    fn session_actions(&self, index: usize, faulty: bool, crashes: &[Crash], actions: &mut Vec<Action>) {
        let session = &self.sessions[index];
        let leads = self.clients[session.client].leader.is_some();
        let Some(processor) = &session.processor else {
            if leads {
                actions.push(Action::SessionStart(index));
            }
            return;
        };
        let script = self.scenario.sessions[index].1;
        // Nothing is committed before attaching.
        if session.next < script.split_whitespace().count() && processor.prepare(unit("a")).is_ok() {
            actions.push(Action::Commit(index));
        }
        if leads && session.wants.is_some() {
            actions.push(Action::Attach(index));
        }
        if !session.up.is_empty() && leads {
            actions.extend(crashes.iter().map(|crash| Action::Up(index, *crash)));
        }
        if !session.down.is_empty() {
            actions.push(Action::Down(index));
        }
        let is_quiet = session.up.is_empty() && session.down.is_empty();
        if session.wants.is_none() && processor.poll_timeout().is_some() && (is_quiet || faulty) {
            actions.push(Action::SessionTime(index));
        }
        if faulty {
            if session.link.is_some() {
                actions.push(Action::DropLink(index));
            }
            actions.push(Action::SessionCrash(index));
        }
    }

    fn client_actions(&self, index: usize, faulty: bool, crashes: &[Crash], actions: &mut Vec<Action>) {
        let client = &self.clients[index];
        for push in 0..client.pushes.len() {
            actions.extend([true, false].map(|missing| Action::Push(index, push, missing)));
            if faulty {
                actions.push(Action::LosePush(index, push));
            }
        }
        let Some(leader) = &client.leader else {
            actions.push(Action::LeaderStart(index));
            return;
        };
        if let Some(pull) = &client.pull {
            if pull.pages.len() < 2 && !pull.diverged {
                let left = (self.backend.head() - pull.after) as usize;
                let counts = if self.scenario.cut { 1..=left } else { left.max(1)..=left };
                actions.extend(counts.map(|count| Action::Send(index, count)));
                if left == 0 && pull.is_first {
                    actions.push(Action::Send(index, 0));
                }
            }
            if !pull.pages.is_empty() || pull.diverged {
                actions.extend(crashes.iter().map(|crash| Action::Page(index, *crash)));
            }
            if faulty {
                actions.push(Action::Disconnect(index));
            }
        }
        for answer in 0..client.answers.len() {
            actions.extend(crashes.iter().map(|crash| Action::Answer(index, answer, *crash)));
            if faulty {
                actions.push(Action::LoseAnswer(index, answer));
            }
        }
        let is_quiet = client.pushes.is_empty()
            && client.answers.is_empty()
            && client
                .pull
                .as_ref()
                .is_none_or(|pull| pull.pages.is_empty() && pull.after == self.backend.head());
        let is_near = leader.poll_timeout().is_some_and(|at| at < client.now + NEVER);
        if is_near && (is_quiet || faulty) {
            actions.push(Action::LeaderTime(index));
        }
        if faulty {
            actions.push(Action::LeaderCrash(index));
        }
    }

    // ---- what happens

    pub(crate) fn step(&mut self, action: Action) {
        self.act(action);
        self.check();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Commit(index) => self.commit(index),
            Action::Attach(index) => self.attach(index),
            Action::Up(index, crash) => self.up(index, crash),
            Action::Down(index) => {
                let item = self.sessions[index].down.pop_front().expect("an item is there");
                self.with_session(index, |processor, now| processor.item(now, item));
            }
            Action::SessionTime(index) => self.session_time(index),
            Action::DropLink(index) => {
                self.faults -= 1;
                self.drop_link(index);
            }
            Action::SessionCrash(index) => {
                self.faults -= 1;
                self.crash_session(index);
            }
            Action::SessionStart(index) => self.start_session(index),
            Action::Send(index, count) => {
                let pull = self.clients[index].pull.as_mut().expect("a pull is open");
                pull.pages.push_back(self.backend.page(pull.after, count));
                pull.after += count as u64;
                pull.is_first = false;
            }
            Action::Page(index, crash) => self.page(index, crash),
            Action::Disconnect(index) => {
                self.faults -= 1;
                let pull = self.clients[index].pull.take().expect("a pull is open");
                let error = PullError::Offline("disconnected".into());
                self.leader_input(index, Input::PullEnded(pull.id, Some(error)), Crash::Never);
            }
            Action::Push(index, push, sends_missing) => {
                let (attempt, push) = self.clients[index].pushes.remove(push);
                let answer = self.backend.push(&push, sends_missing);
                if self.clients[index].leader.is_some() {
                    self.clients[index].answers.push((attempt, answer));
                }
            }
            Action::Answer(index, answer, crash) => {
                let (mut attempt, answer) = self.clients[index].answers.remove(answer);
                if self.scenario.mutation == Mutation::ReusesAttempts {
                    attempt.term = self.clients[index].log.heads.term;
                }
                self.leader_input(index, Input::PushAnswered(attempt, answer.into_result()), crash);
            }
            Action::LosePush(index, push) => {
                self.faults -= 1;
                let (attempt, _) = self.clients[index].pushes.remove(push);
                self.clients[index].answers.push((attempt, Answer::Lost));
            }
            Action::LoseAnswer(index, answer) => {
                self.faults -= 1;
                self.clients[index].answers[answer].1 = Answer::Lost;
            }
            Action::LeaderTime(index) => self.leader_time(index),
            Action::LeaderCrash(index) => self.crash_leader(index),
            Action::LeaderStart(index) => self.start_leader(index),
            Action::Foreign => self.backend.append_foreign(),
            Action::Restore(count) => self.restore(count),
        }
    }

    fn restore(&mut self, count: usize) {
        self.restores -= 1;
        self.backend.restore(count);
        for client in &mut self.clients {
            if let Some(pull) = &mut client.pull {
                pull.pages.clear();
                pull.diverged = true;
            }
        }
    }

    // ---- leaders

    fn start_leader(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let term = Term(client.log.heads.term.0 + 1);
        let identity = identity(&format!("c{index}"));
        let commit = LogCommit { identity: Some(identity.clone()), ..LogCommit::new(&client.log.heads) };
        client.log.commit(term, commit).expect("the first commit of a term");
        recover(client);
        let heads = client.log.heads.clone();
        let pending = client.log.after(heads.settled.position(), usize::MAX);
        let recovered = Recovered { heads, identity, pending };
        client.leader = Some(LeaderProcessor::new(leader_config(), term, client.now, recovered, true));
        self.drive_leader(index, Crash::Never);
    }

    fn crash_leader(&mut self, index: usize) {
        self.faults -= 1;
        let client = &mut self.clients[index];
        client.leader = None;
        client.pull = None;
        if self.scenario.mutation != Mutation::ReusesAttempts {
            client.answers.clear();
        }
        for session in 0..self.sessions.len() {
            if self.sessions[session].client == index && self.sessions[session].link.is_some() {
                self.sever(session);
            }
        }
    }

    fn leader_input(&mut self, index: usize, input: Input, crash: Crash) {
        let client = &mut self.clients[index];
        if let Some(leader) = &mut client.leader {
            leader.handle(client.now, input);
            self.drive_leader(index, crash);
        }
        if crash != Crash::Never && self.clients[index].leader.is_some() {
            self.crash_leader(index);
        }
    }

    fn leader_time(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if !client.pushes.is_empty() || !client.answers.is_empty() {
            self.faults = self.faults.saturating_sub(1);
        }
        let Some(leader) = &mut client.leader else { return };
        client.now = client.now.max(leader.poll_timeout().expect("a time is due"));
        leader.handle_timeout(client.now);
        self.drive_leader(index, Crash::Never);
    }

    fn page(&mut self, index: usize, crash: Crash) {
        let pull = self.clients[index].pull.as_mut().expect("a pull is open");
        let id = pull.id;
        let input = match pull.pages.pop_front() {
            Some(page) => Input::Page(id, page),
            None => {
                self.clients[index].pull = None;
                Input::PullEnded(id, Some(PullError::Diverged("another one".to_owned())))
            }
        };
        self.leader_input(index, input, crash);
    }

    /// Performs a leader's effects in order, up to a crash.
    fn drive_leader(&mut self, index: usize, crash: Crash) {
        for _ in 0..200 {
            let Some(leader) = &mut self.clients[index].leader else { return };
            let Some(effect) = leader.poll_effect() else { return };
            let crashes = match &effect {
                Effect::CommitLog(_) => crash == Crash::AfterLog,
                Effect::Materialize { .. } => crash == Crash::AfterState,
                _ => false,
            };
            self.perform(index, effect);
            if crashes {
                return self.crash_leader(index);
            }
        }
        self.fail("a leader never comes to rest");
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::CommitLog(commit) => self.commit_log(index, commit),
            Effect::Materialize { base, rollback_to, events, settled } => {
                let client = &mut self.clients[index];
                if client.state.apply(base, rollback_to, &events, settled).is_err() {
                    if client.log.archived.is_empty() {
                        return self.fail("a leader rolls back what is settled");
                    }
                    recover(client);
                }
                let client = &mut self.clients[index];
                let Some(leader) = &mut client.leader else { return };
                leader.handle(client.now, Input::Applied(Applied::default()));
            }
            Effect::ReadLog { purpose, version } => self.read_log(index, purpose, version),
            Effect::Attached(..) | Effect::ReportUnknown(_) | Effect::ReportAdopted(_) => {
                self.perform_report(index, effect);
            }
            Effect::Publish(link, item) => self.publish(index, link, item),
            Effect::CloseLink(link) => {
                if let Some(session) = self.sessions.iter().position(|session| session.link == Some(link)) {
                    self.fail("an honest session is detached");
                    self.sever(session);
                }
            }
            Effect::StartPull(id, pull) => {
                let after = pull.cursor.after.0;
                let is_other = pull.backend_id.is_some_and(|known| known != self.backend.id());
                let diverged = is_other || after > self.backend.head();
                let pages = VecDeque::new();
                self.clients[index].pull = Some(OpenPull { id, after, is_first: true, diverged, pages });
            }
            Effect::StopPull => self.clients[index].pull = None,
            Effect::Push(attempt, push) => self.send_push(index, attempt, push),
            Effect::NewIdentity => self.fail("no client id is taken here"),
            Effect::Stop(reason) => self.fail(format!("the leader stops: {reason}")),
        }
    }

    fn perform_report(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Attached(link, attached) => {
                let session = self.sessions.iter().position(|session| session.link == Some(link));
                let Some(session) = session else { return };
                self.with_session(session, |processor, now| processor.attached(now, attached));
            }
            Effect::ReportAdopted(_) => self.fail("args of an honest backend were adopted"),
            _ => self.fail(format!("leader {index} reports unknown events")),
        }
    }

    fn commit_log(&mut self, index: usize, mut commit: LogCommit) {
        let client = &mut self.clients[index];
        let before = client.log.clone();
        if self.scenario.mutation == Mutation::HidesArchived {
            commit.sessions.iter_mut().for_each(|record| record.gone.clear());
        }
        let term = client.log.heads.term;
        let result = client.log.commit(term, commit);
        if self.scenario.mutation == Mutation::ForgetsPersisted {
            forget_persisted(&mut client.log);
        }
        let broken = result.err().or_else(|| client.checked.log_step(&before, &client.log).err());
        if let Some(why) = broken {
            self.fail(why);
        }
    }

    fn read_log(&mut self, index: usize, purpose: ReadPurpose, version: SeqNum) {
        let client = &mut self.clients[index];
        let common = client.log.common(version);
        // Two at a time, so that reads go on.
        let events = client.log.after(common.position(), 2);
        let Some(leader) = &mut client.leader else { return };
        leader.handle(client.now, Input::LogRead { purpose, version, common, events });
    }

    fn send_push(&mut self, index: usize, attempt: AttemptId, push: Push) {
        let log = &self.clients[index].log;
        let is_durable = |event: &livestore_traits::SyncedEvent| {
            let place = Position::synced(event.seq);
            log.events.iter().any(|own| own.num.position() == place && own.commit == event.commit)
        };
        let (durable, head) = (push.events.iter().all(is_durable), log.heads.upstream.head.global);
        if !durable {
            self.fail("a push of events that are not durable");
        }
        if push.parent != head {
            self.fail("a push that does not begin at the confirmed head");
        }
        self.clients[index].pushes.push((attempt, push));
    }

    fn publish(&mut self, index: usize, link: LinkId, mut item: LeaderItem) {
        let log = &self.clients[index].log;
        let versions: Vec<SeqNum> = match &item.payload {
            SessionPayload::Advance { events, settled, .. } => {
                events.iter().map(|event| event.num).chain([*settled]).collect()
            }
            SessionPayload::Rebase { rollback_to, events, settled, .. } => {
                events.iter().map(|event| event.num).chain([*rollback_to, *settled]).collect()
            }
            SessionPayload::Accepted { last, settled, .. } => vec![*last, *settled],
            SessionPayload::Refused { .. } => vec![],
        };
        if let Some(version) = versions.into_iter().find(|version| !log.contains(*version)) {
            self.fail(format!("{version} is published but not durable"));
        }
        match self.scenario.mutation {
            Mutation::HidesGone => item.gone.clear(),
            Mutation::SettlesTooMuch => settle_all(&mut item.payload, self.clients[index].log.heads.settled),
            _ => {}
        }
        let Some(session) = self.sessions.iter_mut().find(|session| session.link == Some(link)) else {
            return;
        };
        session.down.push_back(item);
    }

    // ---- sessions

    fn start_session(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        let client = &self.clients[session.client];
        session.state = client.state.clone();
        let head = session.state.head();
        session.processor =
            Some(SessionProcessor::new(session_config(), session.id.clone(), session.now, head));
        session.wants = None;
        session.link = None;
        session.down.clear();
        session.committed.clear();
        session.receipts.clear();
        self.drive_session(index);
    }

    fn crash_session(&mut self, index: usize) {
        self.detach(index);
        let session = &mut self.sessions[index];
        session.processor = None;
        session.wants = None;
    }

    fn commit(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        let text = self.scenario.sessions[index].1.split_whitespace().nth(session.next);
        let processor = session.processor.as_mut().expect("it lives");
        let transaction = processor.prepare(unit(text.expect("a unit is left"))).expect("a good unit");
        let (base, settled) = (transaction.base, transaction.settled);
        session.next += 1;
        if session.state.apply(base, None, &transaction.events, settled).is_err() {
            return self.fail("a commit cannot be applied");
        }
        let outcome = processor.complete(session.now, transaction);
        session.committed.insert(outcome.n);
        self.drive_session(index);
    }

    fn attach(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        let client = &self.clients[session.client];
        match session.wants.take().expect("it wants to") {
            Wanted::Attach(attach) => {
                let link = LinkId(self.next_link);
                self.next_link += 1;
                session.link = Some(link);
                session.down.clear();
                if self.scenario.mutation != Mutation::KeepsOldLinks {
                    session.up.clear();
                }
                let record = client.log.sessions.get(&session.id).cloned();
                let owner = session.client;
                self.leader_input(owner, Input::Attach { link, attach, record }, Crash::Never);
            }
            Wanted::Restart => {
                session.state = client.state.clone();
                let head = session.state.head();
                let persisted = client.log.sessions.get(&session.id).map_or(0, |record| record.persisted);
                self.with_session(index, |processor, now| processor.restarted(now, head, persisted));
            }
        }
    }

    fn up(&mut self, index: usize, crash: Crash) {
        let (link, message) = self.sessions[index].up.pop_front().expect("a message is there");
        let current = self.sessions[index].link;
        // A link that nothing ended delivers to whoever leads.
        let link =
            if self.scenario.mutation == Mutation::KeepsOldLinks { current.unwrap_or(link) } else { link };
        self.leader_input(self.sessions[index].client, Input::Session(link, message), crash);
    }

    fn session_time(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        if !session.up.is_empty() || !session.down.is_empty() {
            self.faults = self.faults.saturating_sub(1);
        }
        let due = session.processor.as_ref().and_then(SessionProcessor::poll_timeout);
        session.now = session.now.max(due.expect("a time is due"));
        self.with_session(index, |processor, now| processor.handle_timeout(now));
    }

    /// The link is cut on both sides.
    fn drop_link(&mut self, index: usize) {
        self.detach(index);
        self.with_session(index, |processor, now| processor.link_lost(now));
    }

    fn detach(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        session.down.clear();
        if self.scenario.mutation != Mutation::KeepsOldLinks {
            session.up.clear();
        }
        if let Some(link) = session.link.take() {
            let client = session.client;
            self.leader_input(client, Input::Detach(link), Crash::Never);
        }
    }

    /// The leader's end is gone.
    fn sever(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        session.link = None;
        session.down.clear();
        session.up.clear();
        self.with_session(index, |processor, now| processor.link_lost(now));
    }

    fn with_session(&mut self, index: usize, run: impl FnOnce(&mut SessionProcessor, Instant)) {
        let session = &mut self.sessions[index];
        if let Some(processor) = &mut session.processor {
            run(processor, session.now);
            self.drive_session(index);
        }
    }

    fn drive_session(&mut self, index: usize) {
        loop {
            let session = &mut self.sessions[index];
            let Some(processor) = &mut session.processor else { return };
            let Some(effect) = processor.poll_effect() else { return };
            match effect {
                SessionEffect::Apply { base, rollback_to, events, settled } => {
                    if session.state.apply(base, rollback_to, &events, settled).is_err() {
                        processor.state_failed(session.now);
                    }
                }
                SessionEffect::Send(message) => match session.link {
                    Some(link) => session.up.push_back((link, message)),
                    None => processor.link_lost(session.now),
                },
                SessionEffect::Attach(attach) => {
                    session.wants = Some(Wanted::Attach(attach));
                    self.detach(index);
                }
                SessionEffect::Restart => {
                    session.wants = Some(Wanted::Restart);
                    self.detach(index);
                }
                SessionEffect::Receipt(update) => self.receipt(index, update),
            }
        }
    }

    fn receipt(&mut self, index: usize, update: ReceiptUpdate) {
        let session = &mut self.sessions[index];
        let log = &self.clients[session.client].log;
        let record = log.sessions.get(&session.id);
        let broken = match &update {
            ReceiptUpdate::Persisted { n } => record.is_none_or(|record| record.persisted < *n),
            ReceiptUpdate::Confirmed { n, num } => {
                session.receipts.insert(*n, update.clone());
                num.position() > log.heads.settled.position() && log.archived.is_empty()
            }
            ReceiptUpdate::Gone { n, .. } => {
                session.receipts.insert(*n, update.clone()).is_some()
                    || record.is_none_or(|record| !record.gone.iter().any(|gone| gone.n == *n))
            }
        };
        if broken {
            self.fail(format!("a wrong receipt: {update:?}"));
        }
    }
}

/// Brings the state to the log's head, as a leader does when it begins.
fn recover(client: &mut Client) {
    let head = client.state.head();
    let shared = client.log.common(head);
    if shared != head && client.state.apply(head, Some(shared), &[], Position::ROOT).is_err() {
        client.state.reset();
    }
    let at = client.state.head();
    let events = client.log.after(at.position(), usize::MAX);
    let settled = client.log.heads.settled.position();
    client.state.apply(at, None, &events, settled).expect("nothing is rolled back");
}

/// As a reader would who takes the last commit that is in the log for the last that ever was.
fn forget_persisted(log: &mut Log) {
    for (id, record) in &mut log.sessions {
        let own = log.events.iter().filter(|event| event.is_own && event.session_id == *id);
        record.persisted = own.filter_map(|event| event.commit).map(|commit| commit.n).max().unwrap_or(0);
    }
}

fn settle_all(payload: &mut SessionPayload, all: SeqNum) {
    match payload {
        SessionPayload::Advance { settled, .. }
        | SessionPayload::Rebase { settled, .. }
        | SessionPayload::Accepted { settled, .. } => *settled = all,
        SessionPayload::Refused { .. } => {}
    }
}
