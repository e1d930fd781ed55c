//! What a backend must behave like: one list of events, and two operations on it.

use std::fmt;
use std::sync::Arc;

use crate::checker::{Model, Timed, Verdict, Violation};

/// An event by its content, whatever its number. 0 is content that nobody ever pushed.
pub type EventId = u32;

/// The sequential log.
#[derive(Debug)]
pub struct Log;

/// An operation on the log, with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Asks for `events` to be appended after `parent`.
    Push {
        /// The number of the event that the first one follows.
        parent: usize,
        /// What is to be appended.
        events: Arc<[EventId]>,
        /// What was said, if anything.
        answer: Option<PushAnswer>,
    },
    /// One page of a pull. Later pages of a pull are operations of their own: each continues the one before.
    Page {
        /// The number after which the client expects it to begin.
        after: usize,
        /// The number after which it says that it begins.
        begins_after: usize,
        /// Its events.
        events: Vec<EventId>,
        /// Whether it says that there are no later events.
        reaches_head: bool,
    },
    /// A pull that was told that the log is another one, since it does not reach so far.
    Beyond {
        /// Where the client wanted to go on.
        after: usize,
    },
}

/// The answer to a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushAnswer {
    /// The events stand in the log, and end here.
    Accepted {
        /// The number of the last one.
        head: usize,
    },
    /// They do not follow the head.
    Ahead {
        /// The head.
        head: usize,
        /// The events after the push's parent, or some of them, if they came along.
        missing: Vec<EventId>,
    },
}

impl Model for Log {
    type State = Arc<[EventId]>;
    type Operation = Operation;

    fn step(log: &Self::State, operation: &Operation) -> Option<Self::State> {
        match operation {
            Operation::Push { parent, events, answer } => {
                let stands = slice(log, *parent, events.len()) == Some(events);
                let would_accept = stands || *parent == log.len();
                match answer {
                    // Nobody heard whether it was accepted; if it was not, nothing happened.
                    None => (would_accept && !stands).then(|| appended(log, events)),
                    Some(PushAnswer::Accepted { head }) if would_accept => {
                        let is_end = *head == parent + events.len();
                        is_end.then(|| if stands { Arc::clone(log) } else { appended(log, events) })
                    }
                    Some(PushAnswer::Ahead { head, missing }) if !would_accept => {
                        let is_true = *head == log.len()
                            && (missing.is_empty() || slice(log, *parent, missing.len()) == Some(missing));
                        is_true.then(|| Arc::clone(log))
                    }
                    Some(_) => None,
                }
            }
            Operation::Page { after, begins_after, events, reaches_head } => {
                let is_true = after == begins_after
                    && slice(log, *after, events.len()) == Some(events)
                    && (!reaches_head || after + events.len() == log.len());
                is_true.then(|| Arc::clone(log))
            }
            Operation::Beyond { after } => (*after > log.len()).then(|| Arc::clone(log)),
        }
    }
}

fn slice(log: &[EventId], after: usize, count: usize) -> Option<&[EventId]> {
    log.get(after..after.checked_add(count)?)
}

fn appended(log: &[EventId], events: &[EventId]) -> Arc<[EventId]> {
    log.iter().chain(events).copied().collect()
}

/// What happened in histories.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Pushes that were accepted, again or for the first time.
    pub accepted: usize,
    /// Pushes that came too late.
    pub refused: usize,
    /// Pushes whose answer nobody heard.
    pub lost: usize,
    /// Pages that were read.
    pub pages: usize,
}

impl Tally {
    /// Counts a history too.
    pub fn count(&mut self, history: &[Timed<Operation>]) {
        for timed in history {
            *match &timed.operation {
                Operation::Push { answer: Some(PushAnswer::Accepted { .. }), .. } => &mut self.accepted,
                Operation::Push { answer: Some(PushAnswer::Ahead { .. }), .. } => &mut self.refused,
                Operation::Push { answer: None, .. } => &mut self.lost,
                Operation::Page { .. } => &mut self.pages,
                // No honest log says so.
                Operation::Beyond { .. } => continue,
            } += 1;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, refused, lost, pages } = self;
        write!(f, "pushes: {accepted} accepted, {refused} refused, {lost} without an answer; {pages} pages")
    }
}

/// A verdict for people: the operation that fits nowhere, and what was under way at the time.
#[derive(Debug)]
pub struct Explained<'a> {
    /// What was checked.
    pub history: &'a [Timed<Operation>],
    /// What came out.
    pub verdict: &'a Verdict,
}

/// Operations shown before the one that fits nowhere.
const SHOWN: usize = 12;

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { longest, stuck } = match self.verdict {
            Verdict::Linearizable => return write!(f, "linearizable"),
            Verdict::Undecided(count) => return write!(f, "undecided after {count} configurations"),
            Verdict::Violation(violation) => violation,
        };
        let mut log = Arc::default();
        writeln!(f, "not linearizable; the longest order ends with")?;
        for (place, &index) in longest.iter().enumerate() {
            let timed = &self.history[index];
            log = Log::step(&log, &timed.operation).unwrap_or(log);
            if place + SHOWN >= longest.len() {
                writeln!(f, "  {}  log: {} events", Shown(timed), log.len())?;
            }
        }
        let end = &log[log.len().saturating_sub(SHOWN)..];
        writeln!(f, "after which the log ends with {end:?}, and this fits nowhere:")?;
        write!(f, "  {}", Shown(&self.history[*stuck]))
    }
}

struct Shown<'a>(&'a Timed<Operation>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timed { client, operation, called, answered } = self.0;
        let answered = answered.map_or("…".into(), |time| time.to_string());
        write!(f, "client {client} [{called}, {answered}] {operation:?}")
    }
}
