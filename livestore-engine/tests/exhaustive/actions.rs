//! What may happen next.

use livestore_traits::{Args, EventKind, NewEvent};

use crate::support::name;
use crate::world::{Action, Crash, NEVER, World};

impl World {
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

    pub(crate) fn session_actions(
        &self,
        index: usize,
        faulty: bool,
        crashes: &[Crash],
        actions: &mut Vec<Action>,
    ) {
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

    pub(crate) fn client_actions(
        &self,
        index: usize,
        faulty: bool,
        crashes: &[Crash],
        actions: &mut Vec<Action>,
    ) {
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
}

/// The events of one unit of a script.
pub(crate) fn unit(text: &str) -> Vec<NewEvent> {
    let event = |letter: char| {
        let kind = if letter.is_ascii_uppercase() { EventKind::ClientOnly } else { EventKind::Synced };
        let args = Args::parse(format!("\"{}\"", letter.to_ascii_lowercase())).expect("JSON");
        NewEvent { name: name("e"), args, kind }
    };
    text.chars().map(event).collect()
}
