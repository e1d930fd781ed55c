//! Events and logs as text.
//!
//! ```text
//! e5.1r2':a3.1=7     the number, ' if pending, session a, commit 3, index 1 in its unit, args 7
//! e1:x1 | e1.1:a1 e2':a2 e3':a2     | stands after the upstream head; a2 is one unit of two events
//! ```
//!
//! Sessions `a` to `m` are this client's, the others belong to other clients. An index may be left out where it counts
//! on from 0; without args an event has its own identity as args.

use livestore_engine::sync::SyncState;
use livestore_traits::{Args, ClientId, CommitRef, Event, EventName, SeqNum, SessionId};

use crate::log::Log;

pub(crate) fn num(text: &str) -> SeqNum {
    text.parse().unwrap()
}

pub(crate) fn args(text: &str) -> Args {
    Args::parse(text.to_owned()).unwrap()
}

/// The event of a session at a place in a commit; it ends its unit.
pub(crate) fn event(num: SeqNum, session: char, commit: CommitRef, args: Args) -> Event {
    let is_own = session < 'n';
    let client_id = if is_own { "me".to_owned() } else { format!("client-{session}") };
    Event {
        num,
        name: EventName::new("v1.Set").unwrap(),
        args,
        client_id: ClientId::new(client_id).unwrap(),
        session_id: SessionId::new(session.to_string()).unwrap(),
        commit: Some(commit),
        unit_end: true,
        is_own,
    }
}

/// Events of this client's log.
pub(crate) fn events(text: &str) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for token in text.split_whitespace().filter(|token| *token != "|") {
        let (number, rest) = token.split_once(':').unwrap();
        let (identity, content) = rest.split_once('=').map_or((rest, None), |(id, args)| (id, Some(args)));
        let (unit, index) = identity.split_once('.').map_or((identity, None), |(unit, i)| (unit, Some(i)));
        let session = unit.chars().next().unwrap();
        let n = unit[1..].parse().unwrap();
        let mut commit = CommitRef { n, index: 0 };
        if let Some(last) = events.last_mut()
            && last.session_id.as_str() == &unit[..1]
            && last.commit.is_some_and(|last| last.n == n)
        {
            last.unit_end = false;
            commit.index = last.commit.unwrap().index + 1;
        }
        commit.index = index.map_or(commit.index, |index| index.parse().unwrap());
        let content = content.map_or_else(|| own_args(session, commit), args);
        events.push(event(num(number.trim_end_matches('\'')), session, commit, content));
    }
    events
}

/// Events as they come from the backend: nobody's own, with the commit, as on the native wire.
pub(crate) fn page(text: &str) -> Vec<Event> {
    let mut events = events(text);
    events.iter_mut().for_each(|event| event.is_own = false);
    events
}

/// Events as they come over LiveStore's wire: without commits, each a unit.
pub(crate) fn plain_page(text: &str) -> Vec<Event> {
    let mut events = page(text);
    for event in &mut events {
        event.commit = None;
        event.unit_end = true;
    }
    events
}

/// The log of a leader.
pub(crate) fn log(text: &str) -> Log {
    let confirmed = text.split_once('|').map_or(text, |(confirmed, _)| confirmed);
    let all = events(text);
    Log {
        upstream: events(confirmed).last().map_or(SeqNum::ROOT, |event| event.num),
        generation: all.last().map_or(SeqNum::ROOT, |event| event.num).generation,
        events: all,
    }
}

/// A leader's log, as [`log`] reads it.
pub(crate) fn log_text(log: &Log) -> String {
    let settled = log.settled_len();
    let upstream = log.place(log.upstream).unwrap();
    let mut tokens: Vec<String> =
        log.events.iter().enumerate().map(|(place, event)| event_text(event, place >= settled)).collect();
    tokens.insert(upstream, "|".to_owned());
    tokens.join(" ")
}

/// What a session knows of its leader's log and its own pending events.
pub(crate) fn session_text(state: &SyncState) -> String {
    let known = state.known.iter().map(ToString::to_string);
    let pending = state.pending.iter().map(|event| event_text(event, true));
    known.chain(["|".to_owned()]).chain(pending).collect::<Vec<_>>().join(" ")
}

fn event_text(event: &Event, is_pending: bool) -> String {
    let prime = if is_pending { "'" } else { "" };
    let mut text = format!("{}{prime}:{}", event.num, event.session_id);
    if let Some(commit) = event.commit {
        text += &commit.n.to_string();
        if commit.index > 0 || !event.unit_end {
            text += &format!(".{}", commit.index);
        }
    }
    let session = event.session_id.as_str().chars().next().unwrap();
    if event.commit.is_none_or(|commit| event.args != own_args(session, commit)) {
        text += &format!("={}", event.args.as_str());
    }
    text
}

fn own_args(session: char, commit: CommitRef) -> Args {
    args(&format!("\"{session}{}.{}\"", commit.n, commit.index))
}
