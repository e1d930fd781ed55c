//! Clients, their sessions and a backend as one value: everything that may happen next, and what happens then.
//!
//! The processors are the real ones; the network, the disks and the backend are plain data. A leader that crashes keeps
//! its log and its state as far as effects were performed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use livestore_engine::processor::{
    AttemptId, Input, LeaderProcessor, LinkId, PullId, ReceiptUpdate, SessionProcessor,
};
use livestore_traits::{Attach, Event, LeaderItem, PullError, PullPage, Push, SessionId, SessionMessage};

use crate::backend::{Answer, Backend, Ghost};
use crate::check::Checked;
use crate::state::State;
use crate::support::{Log, beginning, session_id};

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
    pub(crate) next_link: u64,
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
    pub(crate) id: PullId,
    pub(crate) after: u64,
    pub(crate) is_first: bool,
    pub(crate) diverged: bool,
    pub(crate) pages: VecDeque<PullPage>,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) client: usize,
    pub(crate) id: SessionId,
    /// `None` after a crash, until it starts again.
    pub(crate) processor: Option<SessionProcessor>,
    pub(crate) state: State,
    pub(crate) now: Instant,
    pub(crate) wants: Option<Wanted>,
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
pub(crate) enum Wanted {
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
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

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
}
