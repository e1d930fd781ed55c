//! A session's processor with a list of events as its state; every effect becomes a line of text.
//!
//! ```text
//!   attach at e1, last 2
//!   push 1 on e1: e2=a e3=b
//!   refresh 1 at e1
//!   apply back to e1 + e2=x e3r1=a
//!   persisted 1 · confirmed 1 at e3 · gone 1
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use livestore_engine::processor::{ReceiptUpdate, SessionConfig, SessionEffect, SessionProcessor};
use livestore_traits::{
    Args, Attached, CommitRef, Event, EventKind, GoneCommit, GoneReason, LeaderItem, NewEvent, SeqNum,
    SessionMessage, SessionPayload,
};

use crate::support::{beginning, client_id, name, session_id};

pub(crate) struct Bench {
    pub(crate) session: SessionProcessor,
    pub(crate) now: Instant,
    pub(crate) config: SessionConfig,
    stream: u64,
    pub(crate) client: &'static str,
    /// Makes the next change of the state fail.
    pub(crate) fails: bool,
}

pub(crate) fn num(text: &str) -> SeqNum {
    text.parse().expect("a number")
}

fn args(text: &str) -> Args {
    Args::parse(format!("\"{text}\"")).expect("JSON")
}

/// The events of one unit: capitals are client-only.
pub(crate) fn unit(text: &str) -> Vec<NewEvent> {
    let event = |letter: char| {
        let kind = if letter.is_ascii_uppercase() { EventKind::ClientOnly } else { EventKind::Synced };
        NewEvent { name: name("e"), args: args(&letter.to_ascii_lowercase().to_string()), kind }
    };
    text.chars().map(event).collect()
}

/// Events of the leader's log: `e1=x` of another client, `e2r1=a#1.0|` of this session's commit 1, a unit's end.
pub(crate) fn events(text: &str) -> Arc<[Event]> {
    text.split_whitespace().map(event).collect()
}

fn event(text: &str) -> Event {
    let (text, unit_end) = text.strip_suffix('|').map_or((text, false), |text| (text, true));
    let (number, what) = text.split_once('=').expect("a number and its args");
    let (what, commit) = match what.split_once('#') {
        Some((what, commit)) => {
            let (n, index) = commit.split_once('.').expect("a commit and a place in it");
            let commit = CommitRef { n: n.parse().expect("n"), index: index.parse().expect("an index") };
            (what, Some(commit))
        }
        None => (what, None),
    };
    Event {
        num: num(number),
        name: name("e"),
        args: args(what),
        client_id: client_id(if commit.is_some() { "c" } else { "other" }),
        session_id: session_id(if commit.is_some() { "s1" } else { "other" }),
        commit,
        unit_end: unit_end || commit.is_none(),
        is_own: commit.is_some(),
    }
}

impl Bench {
    /// A session that starts from the leader's version `head`; it wants to attach.
    pub(crate) fn new(head: &str) -> Self {
        Self::with(head, SessionConfig::default())
    }

    /// The same under this configuration.
    pub(crate) fn with(head: &str, config: SessionConfig) -> Self {
        let now = beginning();
        let session = SessionProcessor::new(config.clone(), session_id("s1"), now, num(head));
        Self { session, now, config, stream: 0, client: "c", fails: false }
    }

    /// A session that is attached.
    pub(crate) fn attached(head: &str) -> Self {
        let mut bench = Self::new(head);
        assert_eq!(bench.drive(), [format!("attach at {head}, last 0")]);
        bench.attach(0, &[]);
        bench
    }

    pub(crate) fn drive(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(effect) = self.session.poll_effect() {
            if matches!(effect, SessionEffect::Apply { .. }) && std::mem::take(&mut self.fails) {
                self.session.state_failed(self.now);
                lines.push("apply fails".to_owned());
            } else {
                lines.push(show(&effect));
            }
        }
        lines
    }

    pub(crate) fn attach(&mut self, persisted: u64, gone: &[u64]) -> Vec<String> {
        self.stream = 0;
        let gone = gone.iter().map(|n| GoneCommit { n: *n, reason: GoneReason::Archived }).collect();
        let attached = Attached { client_id: client_id(self.client), persisted, gone };
        self.session.attached(self.now, attached);
        self.drive()
    }

    pub(crate) fn commit(&mut self, text: &str) -> Vec<String> {
        let transaction = self.session.prepare(unit(text)).expect("a good commit");
        self.session.complete(self.now, transaction);
        self.drive()
    }

    pub(crate) fn item(&mut self, payload: SessionPayload, gone: &[u64]) -> Vec<String> {
        let reason = || GoneReason::Rejected("no".to_owned());
        let gone = gone.iter().map(|n| GoneCommit { n: *n, reason: reason() }).collect();
        let item = LeaderItem { stream: self.stream, payload, gone, client_id: client_id(self.client) };
        self.session.item(self.now, item);
        let mut lines = self.drive();
        // Every item is acknowledged first.
        assert_eq!(lines.remove(0), "taken");
        lines
    }

    pub(crate) fn advance(&mut self, after: &str, what: &str, settled: &str) -> Vec<String> {
        let (after, settled) = (num(after), num(settled));
        self.item(SessionPayload::Advance { after, events: events(what), settled }, &[])
    }

    pub(crate) fn rebase(&mut self, after: &str, to: &str, what: &str, settled: &str) -> Vec<String> {
        let (after, rollback_to, settled) = (num(after), num(to), num(settled));
        self.item(SessionPayload::Rebase { after, rollback_to, events: events(what), settled }, &[])
    }

    pub(crate) fn accept(&mut self, attempt: u64, after: &str, last: &str, settled: &str) -> Vec<String> {
        let (after, last, settled) = (num(after), num(last), num(settled));
        self.item(SessionPayload::Accepted { attempt, after, last, settled }, &[])
    }

    pub(crate) fn refuse(&mut self, attempt: u64) -> Vec<String> {
        self.item(SessionPayload::Refused { attempt }, &[])
    }

    /// Lets time pass up to the next deadline; tells how long that took.
    pub(crate) fn wait(&mut self) -> (Duration, Vec<String>) {
        let due = self.session.poll_timeout().expect("something is due");
        let waited = due.saturating_duration_since(self.now);
        self.now = self.now.max(due);
        self.session.handle_timeout(self.now);
        (waited, self.drive())
    }

    /// Items from now on belong to this stream.
    pub(crate) fn begin_stream(&mut self, stream: u64) {
        self.stream = stream;
    }
}

fn show_events(events: &[Event]) -> String {
    let show = |event: &Event| format!(" {}={}", event.num, event.args.as_str().trim_matches('"'));
    events.iter().map(show).collect()
}

fn show(effect: &SessionEffect) -> String {
    match effect {
        SessionEffect::Apply { rollback_to, events, .. } => {
            let back = rollback_to.map_or(String::new(), |to| format!(" back to {to}"));
            format!("apply{back} +{}", show_events(events))
        }
        SessionEffect::Attach(attach) => format!("attach at {}, last {}", attach.cursor, attach.last_n),
        SessionEffect::Send(SessionMessage::Push(push)) => {
            format!("push {} on {}:{}", push.attempt, push.base, show_events(&push.events))
        }
        SessionEffect::Send(SessionMessage::Refresh { cursor, stream }) => {
            format!("refresh {stream} at {cursor}")
        }
        SessionEffect::Send(SessionMessage::Taken) => "taken".to_owned(),
        SessionEffect::Restart => "restart".to_owned(),
        SessionEffect::Receipt(ReceiptUpdate::Persisted { n }) => format!("persisted {n}"),
        SessionEffect::Receipt(ReceiptUpdate::Confirmed { n, num }) => format!("confirmed {n} at {num}"),
        SessionEffect::Receipt(ReceiptUpdate::Gone { n, reason: GoneReason::Lost }) => format!("lost {n}"),
        SessionEffect::Receipt(ReceiptUpdate::Gone { n, .. }) => format!("gone {n}"),
    }
}
