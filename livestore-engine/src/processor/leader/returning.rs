//! Own events that a reset archived: another client of the new history may bring them back.
//!
//! LiveStore's wire does not carry which commit an event is of. Without that, an event that comes back at the number of a
//! pending one could pass for it: the same content would confirm the pending event, and other args would replace its own,
//! where the pending event has to move up instead. So what was archived is known while it may still come back.

use std::collections::BTreeMap;

use livestore_traits::{Event, GlobalSeq, SyncedEvent};

use super::gather::is_same;

/// The most bytes of events that are known: some 90,000 small ones. Beyond, those that would come back last are forgotten.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The archived own events that are known, each by its number.
#[derive(Clone, Debug, Default)]
pub struct Returning {
    events: BTreeMap<GlobalSeq, Event>,
    bytes: usize,
}

impl FromIterator<Event> for Returning {
    fn from_iter<T: IntoIterator<Item = Event>>(events: T) -> Self {
        let mut returning = Self::default();
        events.into_iter().for_each(|event| returning.note(event));
        returning
    }
}

impl Returning {
    /// An own synced event is archived. It takes the place of one with its number that was archived before.
    pub fn note(&mut self, event: Event) {
        self.bytes += event.encoded_len();
        let older = self.events.insert(event.num.global, event);
        self.bytes -= older.map_or(0, |older| older.encoded_len());
        while self.bytes > MOST_BYTES {
            let Some((_, last)) = self.events.pop_last() else { return };
            self.bytes -= last.encoded_len();
        }
    }

    /// The event with the commit it is of, if it is one that was archived and comes without.
    pub(super) fn identified(&self, mut event: SyncedEvent) -> SyncedEvent {
        let archived = self.events.get(&event.seq).filter(|archived| is_same(archived, &event));
        event.commit = event.commit.or_else(|| archived.and_then(|archived| archived.commit));
        event
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::{Args, CommitRef};

    use super::*;
    use crate::sample::event;

    fn archived(seq: u64, text: &str) -> Event {
        let args = Args::parse(format!("\"{text}\"")).expect("JSON");
        Event { args, commit: Some(CommitRef { n: seq, index: 0 }), ..event(&format!("e{seq}")) }
    }

    fn returning(seq: u64, text: &str) -> SyncedEvent {
        let Event { name, args, client_id, session_id, unit_end, .. } = archived(seq, text);
        let (seq, parent) = (GlobalSeq(seq), GlobalSeq(seq - 1));
        SyncedEvent {
            seq,
            parent,
            name,
            args,
            client_id,
            session_id,
            commit: None,
            unit_end,
            created_at: None,
        }
    }

    #[test]
    fn an_event_is_known_by_its_number_and_content() {
        let known: Returning = [archived(1, "old"), archived(2, "a"), archived(1, "b")].into_iter().collect();
        let commit_of = |seq, text| known.identified(returning(seq, text)).commit.map(|commit| commit.n);
        assert_eq!(commit_of(1, "b"), Some(1));
        assert_eq!([commit_of(1, "old"), commit_of(2, "b"), commit_of(3, "a")], [None; 3]);
        let another = Some(CommitRef { n: 9, index: 0 });
        assert_eq!(known.identified(SyncedEvent { commit: another, ..returning(2, "a") }).commit, another);
    }

    #[test]
    fn what_comes_back_last_is_forgotten_first() {
        let large = "x".repeat(MOST_BYTES / 10);
        let known: Returning = (1..=20).rev().map(|seq| archived(seq, &large)).collect();
        assert_eq!(known.events.keys().map(|seq| seq.0).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
        assert!(known.bytes <= MOST_BYTES);
        // What takes the place of another takes its room, too.
        let known: Returning = (0..100).map(|_| archived(1, &large)).collect();
        assert_eq!(known.events.len(), 1);
    }
}
