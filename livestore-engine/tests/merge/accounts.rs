//! What was committed, and whether a log holds it as it must: nothing lost, nothing twice, in order, units whole.

use std::collections::{BTreeMap, BTreeSet};

use livestore_traits::{CommitRef, Event, SeqNum};

use crate::notation::{args, event};

/// A unit to be committed: of each event whether it is synced, and its content.
pub(crate) type Unit = Vec<(bool, u8)>;

#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// The units of each session in order, as the kinds of their events.
    committed: BTreeMap<String, Vec<Vec<bool>>>,
    /// Commits that were refused or archived: nothing is expected of them any more.
    gone: BTreeSet<(String, u64)>,
}

impl Accounts {
    /// The next commit of a session, numbered on top of `head`, and its n.
    pub(crate) fn commit(&mut self, session: char, unit: &Unit, head: SeqNum) -> (u64, Vec<Event>) {
        let units = self.committed.entry(session.to_string()).or_default();
        units.push(unit.iter().map(|(is_synced, _)| *is_synced).collect());
        let n = units.len() as u64;
        let mut events: Vec<Event> = Vec::new();
        for (index, (is_synced, content)) in unit.iter().enumerate() {
            let head = events.last().map_or(head, |event| event.num);
            let num = if *is_synced {
                head.next_synced(head.generation)
            } else {
                head.next_client_only(head.generation)
            };
            let commit = CommitRef { n, index: index as u32 };
            let mut event = event(num, session, commit, args(&content.to_string()));
            event.unit_end = index + 1 == unit.len();
            events.push(event);
        }
        (n, events)
    }

    pub(crate) fn lose(&mut self, session: &str, n: u64) {
        self.gone.insert((session.to_owned(), n));
    }

    pub(crate) fn is_gone(&self, session: &str, n: u64) -> bool {
        self.gone.contains(&(session.to_owned(), n))
    }

    /// The commits of a session that are gone.
    pub(crate) fn gone_of(&self, session: &str) -> Vec<u64> {
        self.gone.iter().filter(|gone| gone.0 == session).map(|gone| gone.1).collect()
    }

    /// Every event that `expect` asks for (by session and kind) stands once among `events`, in its session's order.
    pub(crate) fn check<'a>(
        &self,
        events: impl Iterator<Item = &'a Event>,
        expect: impl Fn(&str, bool) -> bool,
    ) {
        let mut found: BTreeMap<&str, Vec<CommitRef>> = BTreeMap::new();
        for event in events {
            let commits = found.entry(event.session_id.as_str()).or_default();
            commits.push(event.commit.expect("only events with a commit are accounted for"));
        }
        for (session, units) in &self.committed {
            let mut found = found.remove(session.as_str()).unwrap_or_default();
            assert!(
                found.is_sorted_by(|a, b| a < b),
                "session {session} is out of order or repeated: {found:?}"
            );
            found.retain(|commit| !self.is_gone(session, commit.n));
            let expected: Vec<CommitRef> = (1..)
                .zip(units)
                .filter(|(n, _)| !self.is_gone(session, *n))
                .flat_map(|(n, unit)| {
                    let indexes = (0..).zip(unit).filter(|(_, is_synced)| expect(session, **is_synced));
                    indexes.map(move |(index, _)| CommitRef { n, index })
                })
                .collect();
            assert_eq!(found, expected, "what is there of session {session}");
        }
    }
}

/// No event of another unit stands between the events of one.
pub(crate) fn check_units_are_whole<'a>(events: impl Iterator<Item = &'a Event>) {
    let mut closed: BTreeSet<(&str, u64)> = BTreeSet::new();
    let mut current = None;
    for event in events {
        let unit = event.commit.map(|commit| (event.session_id.as_str(), commit.n));
        if unit != current {
            closed.extend(current);
            current = unit;
        }
        assert!(unit.is_none_or(|unit| !closed.contains(&unit)), "a unit is split at {}", event.num);
    }
}
