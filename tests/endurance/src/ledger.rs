//! What a server's log has to hold: every acknowledged event once, at its number, and nothing that nobody wrote.
//!
//! An event whose push was never answered may stand there or not, but not twice, and not before an earlier one of the
//! same writer.

use std::collections::{BTreeMap, HashMap};

use futures::StreamExt;
use livestore_traits::{Args, Cursor, GlobalSeq, Pull, PullMode, SyncBackend, SyncedEvent};
use serde_json::json;
use tokio::time::timeout;

use crate::writer::Writer;
use crate::{HANG, HarnessResult};

/// The name of the events that writers write: `todo` knows it as a new item.
pub const ITEM: &str = "v1.TodoAdded";

/// The args of the event `n` of a writer, with a text of at least `text_bytes`.
///
/// # Errors
/// Never for a writer's name as they are here.
pub fn item(writer: &str, n: u64, text_bytes: usize) -> HarnessResult<Args> {
    let text = format!("{writer} {n}");
    let fill = "=".repeat(text_bytes.saturating_sub(text.len()));
    Ok(Args::from_value(&json!({"id": format!("{writer}-{n}"), "text": text + &fill}))?)
}

/// What one writer knows of its events 1, 2, 3 …
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Acknowledged ones: the number in the log, and which it is of the writer's.
    pub acknowledged: Vec<(GlobalSeq, u64)>,
    /// The last one that was ever sent.
    pub sent: u64,
    /// How large their texts are.
    pub text_bytes: usize,
}

/// What was written into one store, by writer.
#[derive(Debug, Default)]
pub struct Ledger(BTreeMap<String, Written>);

impl Ledger {
    /// What these writers have written so far.
    #[must_use]
    pub fn of<'a>(writers: impl IntoIterator<Item = &'a Writer>) -> Self {
        let mut ledger = Self::default();
        writers.into_iter().for_each(|writer| ledger.add(writer.name(), writer.written().clone()));
        ledger
    }

    /// Adds a writer.
    pub fn add(&mut self, writer: impl Into<String>, written: Written) {
        self.0.insert(writer.into(), written);
    }

    /// How many events were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.0.values().map(|written| written.acknowledged.len()).sum()
    }

    /// Begins to compare with a log.
    #[must_use]
    pub fn audit(&self) -> Audit<'_> {
        let acknowledged = self.0.iter().flat_map(|(writer, written)| {
            written.acknowledged.iter().map(move |(seq, n)| (*seq, (writer.as_str(), *n)))
        });
        Audit {
            ledger: self,
            acknowledged: acknowledged.collect(),
            last: GlobalSeq::ROOT,
            last_of: HashMap::new(),
            others: Vec::new(),
            violations: Vec::new(),
        }
    }
}

/// A comparison on its way through a log, from the first event.
#[derive(Debug)]
pub struct Audit<'a> {
    ledger: &'a Ledger,
    /// What has not been met yet.
    acknowledged: BTreeMap<GlobalSeq, (&'a str, u64)>,
    last: GlobalSeq,
    last_of: HashMap<&'a str, u64>,
    others: Vec<SyncedEvent>,
    violations: Vec<String>,
}

/// What came of a comparison.
#[derive(Debug)]
pub struct Audited {
    /// How many events the log has.
    pub events: u64,
    /// Those that no writer of the ledger wrote, in order.
    pub others: Vec<SyncedEvent>,
    /// What does not fit, a sentence each.
    pub violations: Vec<String>,
}

impl<'a> Audit<'a> {
    /// Takes the next event.
    pub fn take(&mut self, event: &SyncedEvent) {
        let expected = self.last.next();
        if event.seq != expected || event.parent != self.last {
            self.violations.push(format!("{} with parent {} follows {}", event.seq, event.parent, self.last));
        }
        self.last = event.seq;
        let ledger = self.ledger;
        let written = ledger.0.get_key_value(event.client_id.as_str());
        match written {
            Some((writer, written)) => self.take_written(event, writer, written),
            None => {
                self.expect_acknowledged(event.seq, None);
                self.others.push(event.clone());
            }
        }
    }

    fn take_written(&mut self, event: &SyncedEvent, writer: &'a str, written: &Written) {
        let last = self.last_of.entry(writer).or_default();
        let n = *last + 1;
        let is_it = item(writer, n, written.text_bytes).is_ok_and(|args| args.js_eq(&event.args));
        if !is_it || event.name.as_str() != ITEM {
            let found = event.args.as_str().chars().take(60).collect::<String>();
            self.violations.push(format!("{} should be event {n} of {writer}, and is {found}", event.seq));
            // What follows is compared with what was found here, so that one fault is told once.
            if let Some(found) = number_of(event) {
                *last = found;
            }
            return self.expect_acknowledged(event.seq, None);
        }
        *last = n;
        if n > written.sent {
            self.violations.push(format!("{} is event {n} of {writer}, which never sent it", event.seq));
        }
        self.expect_acknowledged(event.seq, Some((writer, n)));
    }

    /// What was acknowledged at `seq`, if anything was, is what stands there.
    fn expect_acknowledged(&mut self, seq: GlobalSeq, found: Option<(&str, u64)>) {
        if let Some((writer, n)) = self.acknowledged.remove(&seq)
            && found != Some((writer, n))
        {
            self.violations.push(format!("{seq} was acknowledged as event {n} of {writer}, and is another"));
        }
    }

    /// The log was read to its end.
    #[must_use]
    pub fn finish(mut self) -> Audited {
        let lost = self.acknowledged.iter().map(|(seq, (writer, n))| {
            format!("event {n} of {writer} was acknowledged as {seq}, and the log ends at {}", self.last)
        });
        self.violations.extend(lost);
        Audited { events: self.last.0, others: self.others, violations: self.violations }
    }
}

fn number_of(event: &SyncedEvent) -> Option<u64> {
    let args: serde_json::Value = serde_json::from_str(event.args.as_str()).ok()?;
    args["id"].as_str()?.rsplit_once('-')?.1.parse().ok()
}

/// Reads a log from its first event to its head, as a new client does, and compares it with the ledger.
///
/// # Errors
/// If it cannot be read.
pub async fn audit(backend: &dyn SyncBackend, ledger: &Ledger) -> HarnessResult<Audited> {
    let mut audit = ledger.audit();
    let mut pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    while let Some(page) = timeout(HANG, pages.next()).await.map_err(|_| "a pull hangs")? {
        page?.events.iter().for_each(|event| audit.take(event));
    }
    Ok(audit.finish())
}

#[cfg(test)]
mod tests {
    use livestore_traits::{ClientId, EventName, SessionId};

    use super::*;

    fn event(seq: u64, writer: &str, n: u64) -> SyncedEvent {
        SyncedEvent {
            seq: GlobalSeq(seq),
            parent: GlobalSeq(seq - 1),
            name: EventName::new(ITEM).unwrap(),
            args: item(writer, n, 0).unwrap(),
            client_id: ClientId::new(writer).unwrap(),
            session_id: SessionId::new("session").unwrap(),
            commit: None,
            unit_end: true,
            created_at: None,
        }
    }

    /// `a` has e1 and e3 and does not know of its third event; `b` has e2.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        let acknowledged = vec![(GlobalSeq(1), 1), (GlobalSeq(3), 2)];
        ledger.add("a", Written { acknowledged, sent: 3, text_bytes: 0 });
        ledger.add("b", Written { acknowledged: vec![(GlobalSeq(2), 1)], sent: 1, text_bytes: 0 });
        ledger
    }

    fn violations(log: &[SyncedEvent]) -> Vec<String> {
        let ledger = ledger();
        let mut audit = ledger.audit();
        log.iter().for_each(|event| audit.take(event));
        audit.finish().violations
    }

    #[test]
    fn what_was_acknowledged_passes_and_what_is_unknown_may_be_there() {
        let mut log = vec![event(1, "a", 1), event(2, "b", 1), event(3, "a", 2)];
        assert_eq!(violations(&log), [""; 0]);
        log.push(event(4, "a", 3));
        log.push(event(5, "somebody", 1));
        assert_eq!(violations(&log), [""; 0]);
    }

    #[test]
    fn losses_repeats_swaps_gaps_and_inventions_are_found() {
        let good = [event(1, "a", 1), event(2, "b", 1), event(3, "a", 2)];
        let cases: [(&str, Vec<SyncedEvent>); 6] = [
            ("a lost end", good[..2].to_vec()),
            ("a gap", vec![good[0].clone(), good[2].clone()]),
            ("a repeat", [&good[..], &[event(4, "a", 2)]].concat()),
            ("a swap", vec![event(1, "b", 1), event(2, "a", 1), good[2].clone()]),
            ("never sent", [&good[..], &[event(4, "b", 2)]].concat()),
            ("somebody else in its place", [&good[..2], &[event(3, "c", 1)]].concat()),
        ];
        for (what, log) in cases {
            assert!(!violations(&log).is_empty(), "{what} was not found");
        }
    }
}
