//! What happens at the leaders: their effects, their logs and states, and how they crash and begin again.

use std::collections::VecDeque;
use std::time::Duration;

use livestore_engine::processor::{
    AttemptId, Diverged, Effect, Input, LeaderConfig, LeaderProcessor, LinkId, ReadPurpose, Recovered,
    Returning,
};
use livestore_traits::{
    Applied, LeaderItem, LogCommit, Position, PullError, Push, SeqNum, SessionPayload, Term,
};

use crate::support::{Log, identity};
use crate::world::{Client, Crash, Mutation, NEVER, OpenPull, World};

fn leader_config() -> LeaderConfig {
    let mut config = LeaderConfig::default();
    (config.backoff_min, config.backoff_max) = (Duration::ZERO, Duration::ZERO);
    (config.silence_timeout, config.fairness_time, config.gather_time) =
        (NEVER, Duration::ZERO, Duration::ZERO);
    // Small, so that logs are read and queues are full within a few events.
    (config.tail_events, config.items_ahead, config.diverged) = (2, 2, Diverged::Reset);
    config
}

impl World {
    pub(crate) fn start_leader(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let term = Term(client.log.heads.term.0 + 1);
        let identity = identity(&format!("c{index}"));
        let commit = LogCommit { identity: Some(identity.clone()), ..LogCommit::new(&client.log.heads) };
        client.log.commit(term, commit).expect("the first commit of a term");
        recover(client);
        let heads = client.log.heads.clone();
        let pending = client.log.after(heads.settled.position(), usize::MAX);
        let recovered = Recovered { heads, identity, pending, archived: Returning::default() };
        client.leader = Some(LeaderProcessor::new(leader_config(), term, client.now, recovered, true));
        self.drive_leader(index, Crash::Never);
    }

    pub(crate) fn crash_leader(&mut self, index: usize) {
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

    pub(crate) fn leader_input(&mut self, index: usize, input: Input, crash: Crash) {
        let client = &mut self.clients[index];
        if let Some(leader) = &mut client.leader {
            leader.handle(client.now, input);
            self.drive_leader(index, crash);
        }
        if crash != Crash::Never && self.clients[index].leader.is_some() {
            self.crash_leader(index);
        }
    }

    pub(crate) fn leader_time(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if !client.pushes.is_empty() || !client.answers.is_empty() {
            self.faults = self.faults.saturating_sub(1);
        }
        let Some(leader) = &mut client.leader else { return };
        client.now = client.now.max(leader.poll_timeout().expect("a time is due"));
        leader.handle_timeout(client.now);
        self.drive_leader(index, Crash::Never);
    }

    pub(crate) fn page(&mut self, index: usize, crash: Crash) {
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
    pub(crate) fn drive_leader(&mut self, index: usize, crash: Crash) {
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

    pub(crate) fn perform(&mut self, index: usize, effect: Effect) {
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

    pub(crate) fn perform_report(&mut self, index: usize, effect: Effect) {
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

    pub(crate) fn commit_log(&mut self, index: usize, mut commit: LogCommit) {
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

    pub(crate) fn read_log(&mut self, index: usize, purpose: ReadPurpose, version: SeqNum) {
        let client = &mut self.clients[index];
        let common = client.log.common(version);
        // Two at a time, so that reads go on.
        let events = client.log.after(common.position(), 2);
        let Some(leader) = &mut client.leader else { return };
        leader.handle(client.now, Input::LogRead { purpose, version, common, events });
    }

    pub(crate) fn send_push(&mut self, index: usize, attempt: AttemptId, push: Push) {
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

    pub(crate) fn publish(&mut self, index: usize, link: LinkId, mut item: LeaderItem) {
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
