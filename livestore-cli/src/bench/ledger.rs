//! What a store has to hold: every acknowledged event once, at its number, with its contents, and nothing else.
//!
//! A push whose outcome is not known may stand in the log or not; its events may be there once at most.

use std::collections::HashMap;

use super::events::{Author, Batch, Seen, identify};
use crate::error::CommandError;

/// Consecutive events of one client that were acknowledged at consecutive numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    client: usize,
    /// The first event, counted in all that the client makes.
    first: u64,
    /// Its number in the log.
    seq: u64,
    count: u64,
}

/// What one client, or all clients of a store, pushed into it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    acknowledged: Vec<Run>,
    /// Events whose push was not answered as accepted or refused; how often they were read.
    unknown: HashMap<(usize, u64), u32>,
}

impl Ledger {
    /// The client's batch was acknowledged.
    pub(super) fn acknowledge(&mut self, client: usize, batch: &Batch<'_>) {
        let seq = batch.parent + 1;
        if let Some(last) = self.acknowledged.last_mut() {
            let follows = last.seq + last.count == seq && last.first + last.count == batch.first;
            if last.client == client && follows {
                last.count += batch.count;
                return;
            }
        }
        self.acknowledged.push(Run { client, first: batch.first, seq, count: batch.count });
    }

    /// Nobody knows what became of the client's batch.
    pub(super) fn leave_open(&mut self, client: usize, batch: &Batch<'_>) {
        self.unknown.extend((batch.first..batch.first + batch.count).map(|n| ((client, n), 0)));
    }

    /// Takes in what another client pushed into the same store.
    pub(super) fn merge(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.unknown.extend(other.unknown);
    }

    /// Begins to compare with what is read back, where `authors` wrote.
    pub(super) fn audit<'a>(mut self, authors: &'a [Author]) -> Audit<'a> {
        self.acknowledged.sort_unstable_by_key(|run| run.seq);
        Audit { ledger: self, authors, run: 0, seq: 0 }
    }
}

/// A comparison on its way through a log, from its first event.
#[derive(Debug)]
pub(super) struct Audit<'a> {
    ledger: Ledger,
    authors: &'a [Author],
    /// The run at or after the last event.
    run: usize,
    /// The last event read.
    seq: u64,
}

impl Audit<'_> {
    /// Takes the next event.
    pub(super) fn take(&mut self, seen: &Seen<'_>) -> Result<(), CommandError> {
        if seen.seq != self.seq + 1 {
            return Err(CommandError::new(format!("event {} was read after event {}", seen.seq, self.seq)));
        }
        self.seq = seen.seq;
        let runs = &self.ledger.acknowledged;
        while runs.get(self.run).is_some_and(|run| run.seq + run.count <= seen.seq) {
            self.run += 1;
        }
        match runs.get(self.run) {
            Some(run) if run.seq <= seen.seq => {
                self.authors[run.client].check(run.first + (seen.seq - run.seq), seen)
            }
            _ => self.take_unacknowledged(seen),
        }
    }

    fn take_unacknowledged(&mut self, seen: &Seen<'_>) -> Result<(), CommandError> {
        let unexpected =
            || CommandError::new(format!("event {} was read, which nobody pushed or not there", seen.seq));
        let (client, n) = identify(seen).ok_or_else(unexpected)?;
        let times = self.ledger.unknown.get_mut(&(client, n)).ok_or_else(unexpected)?;
        *times += 1;
        if *times > 1 {
            return Err(CommandError::new(format!("event {n} of client {client} was read twice")));
        }
        self.authors[client].check(n, seen)
    }

    /// The log was read to its end. Says how many events it had.
    pub(super) fn finish(self) -> Result<u64, CommandError> {
        let last = self.ledger.acknowledged.last().map_or(0, |run| run.seq + run.count - 1);
        if last > self.seq {
            return Err(CommandError::new(format!(
                "event {last} was acknowledged, but the log read back ends at {}",
                self.seq
            )));
        }
        Ok(self.seq)
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::SyncedEvent;

    use super::*;

    fn authors() -> Vec<Author> {
        (0..2).map(|client| Author::new(client, 8)).collect()
    }

    fn read(ledger: Ledger, authors: &[Author], events: &[SyncedEvent]) -> Result<u64, String> {
        let mut audit = ledger.audit(authors);
        let taken = events.iter().try_for_each(|event| {
            audit.take(&Seen {
                seq: event.seq.0,
                parent: event.parent.0,
                name: event.name.as_str(),
                args: event.args.as_str(),
                client_id: event.client_id.as_str(),
                session_id: event.session_id.as_str(),
            })
        });
        taken.and_then(|()| audit.finish()).map_err(|error| error.to_string())
    }

    /// Client 0 has events 1, 2 and 4, client 1 has event 3; client 1's next event is unknown.
    fn shared(authors: &[Author]) -> (Ledger, Vec<SyncedEvent>) {
        let (a, b) = (&authors[0], &authors[1]);
        let batches =
            [(0, a.batch(0, 1, 0)), (0, a.batch(1, 1, 1)), (1, b.batch(0, 1, 2)), (0, a.batch(2, 1, 3))];
        let mut ledgers = [Ledger::default(), Ledger::default()];
        for (client, batch) in &batches {
            ledgers[*client].acknowledge(*client, batch);
        }
        ledgers[1].leave_open(1, &b.batch(1, 1, 4));
        let [mut ledger, other] = ledgers;
        ledger.merge(other);
        (ledger, batches.iter().flat_map(|(_, batch)| batch.events()).collect())
    }

    #[test]
    fn what_was_acknowledged_passes() {
        let authors = authors();
        let (ledger, events) = shared(&authors);
        assert_eq!(read(ledger, &authors, &events), Ok(4));
    }

    #[test]
    fn an_unknown_push_may_be_there_once() {
        let authors = authors();
        let (ledger, mut events) = shared(&authors);
        events.extend(authors[1].batch(1, 1, 4).events());
        assert_eq!(read(ledger, &authors, &events), Ok(5));
        let (ledger, _) = shared(&authors);
        events.extend(authors[1].batch(1, 1, 5).events());
        assert!(read(ledger, &authors, &events).unwrap_err().contains("twice"));
    }

    #[test]
    fn losses_repeats_swaps_and_strangers_are_found() {
        let authors = authors();
        let (_, good) = shared(&authors);
        let mut swapped = good.clone();
        let (left, right) = (swapped[0].args.clone(), swapped[1].args.clone());
        (swapped[0].args, swapped[1].args) = (right, left);
        let mut stranger = good.clone();
        stranger.extend(authors[0].batch(9, 1, 4).events());
        let cases = [
            ("a lost end", good[..3].to_vec()),
            ("a hole", [&good[..1], &good[2..]].concat()),
            ("a repeat", [&good[..2], &good[1..]].concat()),
            ("a swap", swapped),
            ("a stranger", stranger),
        ];
        for (what, events) in cases {
            let (ledger, _) = shared(&authors);
            assert!(read(ledger, &authors, &events).is_err(), "{what} passed");
        }
    }
}
