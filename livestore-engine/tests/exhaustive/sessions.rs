//! What happens at the sessions: their commits, links, states and receipts.

use std::time::{Duration, Instant};

use livestore_engine::processor::{
    Input, LinkId, ReceiptUpdate, SessionConfig, SessionEffect, SessionProcessor,
};

use crate::actions::unit;
use crate::world::{Crash, Mutation, Wanted, World};

fn session_config() -> SessionConfig {
    let mut config = SessionConfig::default();
    (config.backoff_min, config.backoff_max) = (Duration::ZERO, Duration::ZERO);
    config
}

impl World {
    pub(crate) fn start_session(&mut self, index: usize) {
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

    pub(crate) fn crash_session(&mut self, index: usize) {
        self.detach(index);
        let session = &mut self.sessions[index];
        session.processor = None;
        session.wants = None;
    }

    pub(crate) fn commit(&mut self, index: usize) {
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

    pub(crate) fn attach(&mut self, index: usize) {
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
                let record = client.log.sessions.get(&session.id);
                let leader = client.leader.as_ref().expect("somebody leads");
                let held = leader.held(&session.id, record);
                self.with_session(index, |processor, now| processor.restarted(now, head, &held));
            }
        }
    }

    pub(crate) fn up(&mut self, index: usize, crash: Crash) {
        let (link, message) = self.sessions[index].up.pop_front().expect("a message is there");
        let current = self.sessions[index].link;
        // A link that nothing ended delivers to whoever leads.
        let link =
            if self.scenario.mutation == Mutation::KeepsOldLinks { current.unwrap_or(link) } else { link };
        self.leader_input(self.sessions[index].client, Input::Session(link, message), crash);
    }

    pub(crate) fn session_time(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        if !session.up.is_empty() || !session.down.is_empty() {
            self.faults = self.faults.saturating_sub(1);
        }
        let due = session.processor.as_ref().and_then(SessionProcessor::poll_timeout);
        session.now = session.now.max(due.expect("a time is due"));
        self.with_session(index, |processor, now| processor.handle_timeout(now));
    }

    /// The link is cut on both sides.
    pub(crate) fn drop_link(&mut self, index: usize) {
        self.detach(index);
        self.with_session(index, |processor, now| processor.link_lost(now));
    }

    pub(crate) fn detach(&mut self, index: usize) {
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
    pub(crate) fn sever(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        session.link = None;
        session.down.clear();
        session.up.clear();
        self.with_session(index, |processor, now| processor.link_lost(now));
    }

    pub(crate) fn with_session(&mut self, index: usize, run: impl FnOnce(&mut SessionProcessor, Instant)) {
        let session = &mut self.sessions[index];
        if let Some(processor) = &mut session.processor {
            run(processor, session.now);
            self.drive_session(index);
        }
    }

    pub(crate) fn drive_session(&mut self, index: usize) {
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
                    if self.scenario.restores == 0 && self.scenario.mutation == Mutation::None {
                        self.fail("a session of an honest leader has to start anew");
                    }
                    let session = &mut self.sessions[index];
                    session.wants = Some(Wanted::Restart);
                    self.detach(index);
                }
                SessionEffect::Receipt(update) => self.receipt(index, update),
            }
        }
    }

    pub(crate) fn receipt(&mut self, index: usize, update: ReceiptUpdate) {
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
