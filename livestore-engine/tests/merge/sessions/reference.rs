//! What a session must be: it remembers all of its leader's log.

use livestore_engine::sync::Payload;
use livestore_traits::{Event, SeqNum};

use crate::fold::append;
use crate::log::Log;

/// A session as the rules describe it, with no thought of cost: all of the leader's log that it has, and its pending.
#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    pub(super) seen: Log,
    pub(super) settled: SeqNum,
    /// Nothing older than this is recognised: where it started.
    pub(super) start: SeqNum,
    pub(super) pending: Vec<Event>,
}

impl Reference {
    /// Takes in `payload`; false if it does not fit.
    pub(super) fn take(&mut self, payload: &Payload) -> bool {
        let (events, settled) = match payload {
            Payload::UpstreamAdvance { after, events, settled, .. } => {
                let oldest =
                    if self.settled.position() < self.start.position() { self.start } else { self.settled };
                let Some(mut at) = self.seen.place(*after).filter(|_| after.position() >= oldest.position())
                else {
                    return false;
                };
                let mut events = &events[..];
                while let Some((first, rest)) = events.split_first()
                    && let Some(known) = self.seen.events.get(at)
                {
                    if known.num != first.num {
                        return false;
                    }
                    (at, events) = (at + 1, rest);
                }
                (events, settled.unwrap())
            }
            Payload::UpstreamRebase { after, rollback_to, events, settled } => {
                if *after != self.seen.head() {
                    return false;
                }
                let keep =
                    self.seen.place(*rollback_to).expect("a rebase to a version the session never had");
                self.seen.events.truncate(keep);
                if rollback_to.position() < self.start.position() {
                    self.start = *rollback_to;
                }
                (&events[..], *settled)
            }
            Payload::Accepted { after, last, settled } => {
                if *after != self.seen.head() {
                    return false;
                }
                self.seen.generation = last.generation;
                while self.seen.head().position() < last.position() {
                    let accepted = self.pending.remove(0);
                    append(&mut self.seen, vec![accepted]);
                }
                assert_eq!(self.seen.head(), *last);
                (&[][..], *settled)
            }
            other => unreachable!("not of the leader's stream: {other:?}"),
        };
        for event in events {
            if self.pending.first().is_some_and(|own| own.identity() == event.identity()) {
                self.pending.remove(0);
            }
            self.seen.events.push(event.clone());
        }
        if settled.position() > self.settled.position() {
            self.settled = settled;
        }
        true
    }

    /// The whole log of the session.
    pub(super) fn all(&self) -> Log {
        let mut all = self.seen.clone();
        append(&mut all, self.pending.clone());
        all
    }
}
