//! What pages bring: checked, trimmed of what is known, gathered, and merged.
//!
//! While pending is long, a merge should bring about as much as it renumbers, so that a catch-up costs the events pulled
//! and the events pending once each, not their product.

use std::time::Instant;

use livestore_traits::{
    BackendId, Cursor, Event, GlobalSeq, PageInfo, Position, PullPage, RebaseGeneration, SeqNum, SyncedEvent,
    UpstreamMark,
};

use super::LeaderProcessor;
use super::pull::Puller;
use crate::sync::{MergeError, Outcome, Payload, merge};

/// Pages that came and are not merged yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    events: Vec<SyncedEvent>,
    bytes: usize,
    /// Where the last page leads, and its backend.
    pub(super) mark: Option<(Cursor, BackendId)>,
    pub(super) since: Option<Instant>,
}

impl Puller {
    /// How far pages have come, merged or not.
    pub(super) fn reached(&self, mark: &UpstreamMark) -> GlobalSeq {
        self.gathered.mark.as_ref().map_or(mark.cursor.after, |(cursor, _)| cursor.after)
    }
}

impl LeaderProcessor {
    /// Checks a page against what is known and keeps what is new of it for the next merge.
    pub(super) fn gather(&mut self, page: PullPage) {
        if let Some(known) = self.mark.backend_id.as_ref().filter(|known| **known != page.backend_id) {
            return self.diverged(format!("its id was {known} and is {}", page.backend_id));
        }
        let at = self.puller.reached(&self.mark);
        if page.after > at {
            tracing::warn!(%at, after = %page.after, "a page has a gap before it; pulling again");
            return self.pull_again();
        }
        let repeats = page.events.partition_point(|event| event.seq <= at);
        match self.check_repeats(&page.events[..repeats]) {
            Repeats::Same => {}
            Repeats::Unknown => return self.pull_again(),
            Repeats::Different(seq) => return self.diverged(format!("it has another event at {seq}")),
        }
        if page.through < at {
            // Overtaken by an acknowledgement or an answer; what it says of the head is old.
            return;
        }
        self.puller.caught_up = page.info == PageInfo::CaughtUp || !self.puller.page_info;
        self.puller.remaining = match page.info {
            PageInfo::CaughtUp => None,
            PageInfo::More { remaining } => remaining,
        };
        let gathered = &mut self.puller.gathered;
        for event in &page.events[repeats..] {
            gathered.bytes += event.encoded_len();
            gathered.events.push(event.clone());
        }
        gathered.mark = Some((page.cursor, page.backend_id));
        gathered.since.get_or_insert(self.now);
    }

    /// Compares events that came before with what came then.
    fn check_repeats(&self, repeats: &[SyncedEvent]) -> Repeats {
        for event in repeats {
            let gathered = &self.puller.gathered.events;
            let same = match gathered.binary_search_by_key(&event.seq, |known| known.seq) {
                Ok(index) => gathered[index].is_same(event),
                Err(_) => match self.tail.synced(event.seq) {
                    Some(known) => is_same(known, event),
                    None => return Repeats::Unknown,
                },
            };
            if !same {
                return Repeats::Different(event.seq);
            }
        }
        Repeats::Same
    }

    /// Merges the gathered pages if it is time to; tells whether it did.
    pub(super) fn merge_gathered(&mut self) -> bool {
        let gathered = &self.puller.gathered;
        let Some(since) = gathered.since else { return false };
        let is_full = gathered.bytes >= self.config.gather_bytes;
        if self.puller.hold.is_some() && !is_full {
            return false;
        }
        let enough = self.config.gather_events.max(self.state.pending.len());
        let is_due = self.puller.caught_up
            || gathered.events.len() >= enough
            || is_full
            || since + self.config.gather_time <= self.now;
        is_due && self.merge_now()
    }

    /// Merges what is gathered, if anything; tells whether that has to be committed.
    pub(super) fn merge_now(&mut self) -> bool {
        self.puller.hold = None;
        let Gathered { events, mark, .. } = std::mem::take(&mut self.puller.gathered);
        let Some((cursor, backend_id)) = mark else { return false };
        let is_news = !events.is_empty() || self.mark.backend_id.is_none();
        self.puller.expect_by = None;
        if is_news {
            // Pages may take back what sessions pushed in this turn.
            self.end_turn();
            if let Err(error) = self.advance(events) {
                self.broken_upstream(&error.to_string());
                return false;
            }
        }
        self.mark.cursor = cursor;
        self.mark.backend_id = Some(backend_id);
        is_news
    }

    /// Merges events that follow the upstream head. An error changes nothing.
    pub(super) fn advance(&mut self, events: Vec<SyncedEvent>) -> Result<(), MergeError> {
        let payload = Payload::UpstreamAdvance {
            after: self.state.upstream_head,
            events: events.into_iter().map(|event| incoming(self.returning.identified(event))).collect(),
            settled: None,
            pushed_through: self.pusher.pushed_through(),
        };
        match merge(&mut self.state, payload)? {
            Outcome::Advance(change) | Outcome::Rebase(change) => self.add_to_turn(change),
            Outcome::Reject(refusal) => {
                unreachable!("upstream's payloads are never refused with {refusal:?}")
            }
        }
        Ok(())
    }
}

/// Checks that the events of a page are of the stretch that it covers, in order.
pub(super) fn check_page(page: &PullPage) -> Result<(), String> {
    let mut head = page.after;
    for event in page.events.iter() {
        if event.seq <= head || event.seq > page.through {
            return Err(format!("{} in a page of ({}, {}]", event.seq, page.after, page.through));
        }
        head = event.seq;
    }
    if page.through < page.after || page.cursor.after != page.through {
        return Err(format!("a page of ({}, {}] leads to {}", page.after, page.through, page.cursor.after));
    }
    Ok(())
}

/// What repeated events turn out to be.
enum Repeats {
    /// What came before.
    Same,
    /// Too old to tell without reading the log; a fresh pull does not repeat.
    Unknown,
    /// Another event than before.
    Different(GlobalSeq),
}

/// Whether the log's event is the one upstream has.
pub(super) fn is_same(known: &Event, event: &SyncedEvent) -> bool {
    known.name == event.name
        && known.client_id == event.client_id
        && known.session_id == event.session_id
        && known.commit.zip(event.commit).is_none_or(|(a, b)| a == b)
        && known.args.js_eq(&event.args)
}

/// An event of the backend as merging takes it: its generation is given by the merge.
fn incoming(event: SyncedEvent) -> Event {
    Event {
        num: SeqNum::new(Position::synced(event.seq), RebaseGeneration::default()),
        name: event.name,
        args: event.args,
        client_id: event.client_id,
        session_id: event.session_id,
        commit: event.commit,
        unit_end: event.unit_end,
        is_own: false,
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::{Args, ClientId, EventName, SessionId};

    use super::*;

    fn event(seq: u64) -> SyncedEvent {
        SyncedEvent {
            seq: GlobalSeq(seq),
            parent: GlobalSeq(seq.saturating_sub(1)),
            name: EventName::new("e").unwrap(),
            args: Args::default(),
            client_id: ClientId::new("c").unwrap(),
            session_id: SessionId::new("s").unwrap(),
            commit: None,
            unit_end: true,
            created_at: None,
        }
    }

    #[test]
    fn a_page_holds_events_of_its_stretch_in_order() {
        for (after, through, cursor, seqs, is_right) in [
            (2, 5, 5, &[3, 4, 5][..], true),
            // Compaction may leave holes.
            (2, 5, 5, &[4], true),
            (2, 5, 5, &[], true),
            (2, 2, 2, &[], true),
            (2, 5, 5, &[2, 3], false),
            (2, 5, 5, &[3, 3], false),
            (2, 5, 5, &[4, 3], false),
            (2, 5, 5, &[5, 6], false),
            (2, 1, 1, &[], false),
            (2, 5, 4, &[3], false),
            (2, 5, 6, &[3], false),
        ] {
            let events = seqs.iter().map(|seq| event(*seq)).collect();
            let backend_id = BackendId::new("b").unwrap();
            let mut page = PullPage::new(GlobalSeq(after), events, None, backend_id, PageInfo::CaughtUp);
            (page.through, page.cursor.after) = (GlobalSeq(through), GlobalSeq(cursor));
            assert_eq!(
                check_page(&page).is_ok(),
                is_right,
                "({after}, {through}] leads to {cursor}: {seqs:?}"
            );
        }
    }
}
