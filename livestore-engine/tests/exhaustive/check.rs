//! The rules that always hold, and those that hold when everything has come to rest.

use std::collections::BTreeMap;

use livestore_engine::processor::ReceiptUpdate;
use livestore_traits::{Event, SeqNum};

use crate::backend::Ghost;
use crate::support::Log;
use crate::world::{World, ghost};

/// What a client has ever logged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    /// Every version there ever was, and the event that it named.
    names: BTreeMap<(u64, u32, u64), (Ghost, bool)>,
}

fn key(num: SeqNum) -> (u64, u32, u64) {
    (num.global.0, num.client, num.generation.0)
}

impl Checked {
    /// Checks one commit of the log.
    pub(crate) fn log_step(&mut self, before: &Log, after: &Log) -> Result<(), String> {
        for event in &after.events {
            let named = (ghost(event), event.is_own);
            let known = self.names.entry(key(event.num)).or_insert_with(|| named.clone());
            if *known != named {
                return Err(format!("{} names two events", event.num));
            }
        }
        for event in before.events.iter().filter(|event| event.is_own) {
            let stays = after.events.iter().any(|other| other.identity() == event.identity());
            if !stays && !is_gone(after, event) {
                return Err(format!("{} vanished from the log, unreported", event.num));
            }
        }
        Ok(())
    }
}

fn is_gone(log: &Log, event: &Event) -> bool {
    let n = event.commit.map_or(0, |commit| commit.n);
    log.sessions.get(&event.session_id).is_some_and(|record| record.gone.iter().any(|gone| gone.n == n))
}

/// Every event once, and those of one session in the order of its commits.
fn check_order(what: &str, ghosts: impl Iterator<Item = Ghost>) -> Result<(), String> {
    let mut last: BTreeMap<String, (u64, u32)> = BTreeMap::new();
    for (session, n, index) in ghosts.filter(|(_, n, _)| *n > 0) {
        if last.get(&session).is_some_and(|before| *before >= (n, index)) {
            return Err(format!("{what}: {session}#{n}.{index} comes twice or too late"));
        }
        last.insert(session, (n, index));
    }
    Ok(())
}

impl World {
    pub(crate) fn check(&mut self) {
        if let Err(why) = self.find_broken() {
            self.fail(why);
        }
    }

    fn find_broken(&self) -> Result<(), String> {
        for (index, client) in self.clients.iter().enumerate() {
            let log = &client.log;
            check_order("a log", log.events.iter().filter(|event| event.is_own).map(ghost))?;
            if client.leader.is_some() && client.state.events != log.events {
                return Err(format!("the state of leader {index} is not what its log says"));
            }
            let knows_backend =
                log.heads.upstream.backend_id.as_ref().is_some_and(|id| *id == self.backend.id());
            if knows_backend {
                self.check_confirmed(log)?;
            }
        }
        for (index, session) in self.sessions.iter().enumerate() {
            let Some(processor) = &session.processor else { continue };
            let own = session.state.events.iter().filter(|event| event.is_own);
            check_order("a session", own.map(ghost))?;
            let head = processor.status().local_head.position();
            let wants_restart = session.link.is_none();
            if session.state.head().position() != head && !wants_restart {
                return Err(format!("session {index} shows another version than it is at"));
            }
        }
        check_order("the backend", self.backend.events.iter().map(|(_, ghost)| ghost.clone()))
    }

    /// What a log takes for confirmed stands in the backend, event by event.
    fn check_confirmed(&self, log: &Log) -> Result<(), String> {
        let upstream = log.heads.upstream.head.position();
        let confirmed =
            log.events.iter().filter(|event| event.num.is_synced() && event.num.position() <= upstream);
        for (event, place) in confirmed.zip(0..) {
            let real: Option<&Ghost> = self.backend.events.get(place).map(|(_, ghost)| ghost);
            if real.is_none() || event.is_own && real != Some(&ghost(event)) {
                return Err(format!("{} is confirmed, but the backend has {real:?} there", event.num));
            }
        }
        Ok(())
    }

    /// What must hold when faults have ended and nothing more happens.
    pub(crate) fn at_rest(&self) -> Result<(), String> {
        for (index, client) in self.clients.iter().enumerate() {
            let heads = &client.log.heads;
            if heads.settled != heads.local {
                return Err(format!("at rest: leader {index} has pending events"));
            }
            if heads.upstream.head.global.0 != self.backend.head() {
                return Err(format!("at rest: leader {index} does not have all events"));
            }
        }
        for (index, session) in self.sessions.iter().enumerate() {
            let log = &self.clients[session.client].log;
            let Some(processor) = &session.processor else {
                return Err(format!("at rest: session {index} has not started"));
            };
            let status = processor.status();
            if session.state.events != log.events && !same(&session.state.events, &log.events) {
                return Err(format!("at rest: session {index} and its leader differ"));
            }
            if status.settled_head != log.heads.settled || status.pending_events > 0 {
                return Err(format!("at rest: session {index} does not know that all is settled"));
            }
            if status.unconfirmed_commits > 0 {
                return Err(format!("at rest: session {index} waits for receipts"));
            }
            for n in &session.committed {
                let is_there = log
                    .events
                    .iter()
                    .any(|event| event.session_id == session.id && event.commit.is_some_and(|c| c.n == *n));
                let is_gone = log.sessions.get(&session.id).is_some_and(|r| r.gone.iter().any(|g| g.n == *n));
                let told = session.receipts.get(n);
                let is_told_gone = matches!(told, Some(ReceiptUpdate::Gone { .. }));
                if told.is_none() || (is_told_gone && !is_gone) || (!is_there && !is_gone) {
                    return Err(format!("at rest: commit {n} of session {index} is lost ({told:?})"));
                }
                if is_there && is_gone && self.scenario.restores == 0 {
                    return Err(format!("at rest: commit {n} of session {index} came back"));
                }
            }
        }
        Ok(())
    }
}

/// Whether two histories hold the same events under the same numbers. A session that was the first to have an event
/// keeps its own stamp in its state; the leader's is what it goes on from.
fn same(left: &[Event], right: &[Event]) -> bool {
    let place = |event: &Event| (event.num.position(), ghost(event), event.args.clone());
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| place(left) == place(right))
}
