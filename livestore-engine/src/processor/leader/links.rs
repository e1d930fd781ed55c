//! The leader's side of its sessions: attaching, pushes, and the stream of items from each one's cursor.
//!
//! No payload is kept for a session. What it is sent next follows from its cursor, the log, and what it was told; a slow
//! session has a few items under way and costs nobody else.

use std::sync::Arc;

use livestore_traits::{
    Attach, Attached, AttachedSession, ClientId, Event, GoneCommit, LeaderItem, Position, ReadLimit, SeqNum,
    SessionId, SessionMessage, SessionPayload, SessionPush, SessionRecord,
};

use super::LeaderProcessor;
use crate::processor::effect::{Effect, ReadPurpose};
use crate::processor::input::LinkId;
use crate::sync::{Outcome, Payload, merge};

/// The most events in one item.
const ITEM_EVENTS: usize = 512;

/// A session that is refused over and over needs longer for its rebase than pages wait: the wait doubles so many times.
pub(super) const MAX_PATIENCE: u32 = 6;

/// An attached session.
#[derive(Clone, Debug)]
pub(super) struct Link {
    record: SessionRecord,
    /// Which program and process the session is in.
    label: Arc<str>,
    /// The version of the log that the session has after the items under way.
    cursor: SeqNum,
    /// The stream that items belong to; a refresh begins a new one.
    stream: u64,
    /// Items under way.
    untaken: u32,
    /// The settled head that the session was told.
    settled: Position,
    /// The client id that the session was told.
    client_id: ClientId,
    /// How many of the gone commits the session was told.
    gone_told: usize,
    /// A read of the log for this session is under way.
    is_reading: bool,
    /// An item is due even if nothing changed, as the answer to a refresh.
    is_due: bool,
    /// Pushes refused since the last one that was taken.
    refusals: u32,
}

impl LeaderProcessor {
    /// Attaching ends every older attachment of the session id, with what is still in it.
    pub(super) fn attach(&mut self, link: LinkId, attach: Attach, record: Option<SessionRecord>) {
        let session_id = attach.session_id;
        let older: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, old)| old.record.session_id == session_id)
            .map(|(id, _)| *id)
            .collect();
        for old in older {
            self.detach(old);
            self.effects.push_back(Effect::CloseLink(old));
        }
        let record = record.unwrap_or_else(|| SessionRecord::new(session_id));
        let attached = Attached {
            client_id: self.identity.client_id.clone(),
            persisted: record.persisted,
            gone: record.gone.clone(),
        };
        self.effects.push_back(Effect::Attached(link, attached));
        self.links.insert(
            link,
            Link {
                cursor: attach.cursor,
                stream: 0,
                untaken: 0,
                settled: Position::ROOT,
                client_id: self.identity.client_id.clone(),
                gone_told: record.gone.len(),
                is_reading: false,
                is_due: true,
                refusals: 0,
                label: attach.label,
                record,
            },
        );
        self.list_attached();
    }

    pub(super) fn detach(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.puller.release_hold(link);
        self.list_attached();
    }

    fn list_attached(&mut self) {
        let attached = |link: &Link| AttachedSession {
            session_id: link.record.session_id.clone(),
            label: link.label.clone(),
        };
        self.attached = self.links.values().map(attached).collect();
    }

    pub(super) fn session_message(&mut self, id: LinkId, message: SessionMessage) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match message {
            SessionMessage::Taken => link.untaken = link.untaken.saturating_sub(1),
            SessionMessage::Refresh { cursor, stream } => {
                link.cursor = cursor;
                link.stream = stream;
                link.untaken = 0;
                link.is_reading = false;
                link.is_due = true;
            }
            SessionMessage::Push(push) => self.session_push(id, push),
        }
    }

    fn session_push(&mut self, id: LinkId, push: SessionPush) {
        let Some(link) = self.links.get(&id) else { return };
        let SessionPush { attempt, base, events } = push;
        let is_foreign = |event: &Event| event.session_id != link.record.session_id;
        if events.iter().any(is_foreign) {
            return self.close(id, "it pushed events of another session");
        }
        if events.iter().any(|event| event.client_id != self.identity.client_id) {
            // The session has not heard of the new client id yet; this answer tells it.
            return self.answer(id, SessionPayload::Refused { attempt });
        }
        let n_of = |event: Option<&Event>| event.and_then(|event| event.commit).map_or(0, |commit| commit.n);
        let (first_n, last_n) = (n_of(events.first()), n_of(events.last()));
        let mut expected_n = link.record.persisted + 1;
        if first_n > expected_n {
            // A session was told on attaching how far we know it, and pushes from its first commit after that. That it
            // begins later means that what is missing was persisted by a log that is gone.
            tracing::warn!(
                session = %link.record.session_id, expected_n, first_n,
                "a session goes on after commits that this log never had"
            );
            expected_n = first_n;
        }
        match merge(&mut self.state, Payload::LocalPush { base, expected_n, events }) {
            Ok(Outcome::Advance(change) | Outcome::Rebase(change)) => {
                self.puller.release_hold(id);
                let last = change.append.last().map_or(base, |event| event.num);
                self.add_to_turn(change);
                let link = self.links.get_mut(&id).expect("looked up above");
                link.refusals = 0;
                link.record.persisted = last_n;
                self.turn.persisted(&link.record.session_id, last_n);
                let settled = at_most(self.state.settled_head, last);
                let payload = SessionPayload::Accepted { attempt, after: base, last, settled };
                self.answer(id, payload);
            }
            Ok(Outcome::Reject(refusal)) => {
                tracing::debug!(session = %link.record.session_id, ?refusal, "a session's push was refused");
                let patience = self.config.fairness_time * (1 << link.refusals.min(MAX_PATIENCE));
                self.puller.hold_for(id, self.now + patience);
                if let Some(link) = self.links.get_mut(&id) {
                    link.refusals += 1;
                }
                self.answer(id, SessionPayload::Refused { attempt });
            }
            Err(error) => self.close(id, &error.to_string()),
        }
    }

    /// Answers a push once what this turn has done so far is durable.
    fn answer(&mut self, id: LinkId, payload: SessionPayload) {
        if self.turn.is_dirty() {
            self.turn.answers.push((id, payload));
        } else {
            self.publish(id, payload);
        }
    }

    fn close(&mut self, id: LinkId, why: &str) {
        if let Some(link) = self.links.get(&id) {
            tracing::warn!(session = %link.record.session_id, why, "a session broke the rules and was detached");
            self.detach(id);
            self.effects.push_back(Effect::CloseLink(id));
        }
    }

    /// Notes commits that are gone from the log, for the log and for the sessions that are attached.
    pub(super) fn note_gone(&mut self, session_id: &SessionId, gone: GoneCommit) {
        for link in self.links.values_mut().filter(|link| link.record.session_id == *session_id) {
            link.record.gone.push(gone.clone());
        }
        self.turn.gone(session_id, gone);
    }

    /// Sends every session that is not too far behind what follows its cursor.
    pub(super) fn serve_links(&mut self) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            self.serve(id);
        }
    }

    fn serve(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.is_reading || link.untaken >= self.config.items_ahead {
            return;
        }
        let head = self.state.local_head;
        let settled = at_most(self.state.settled_head, link.cursor);
        let news = link.cursor != head
            || link.settled != settled.position()
            || link.gone_told < link.record.gone.len()
            || link.client_id != self.identity.client_id
            || link.is_due;
        if !news {
            return;
        }
        match self.tail.after(link.cursor, ReadLimit::events(ITEM_EVENTS)) {
            Some(events) => self.publish_events(id, None, events),
            None => {
                link.is_reading = true;
                let purpose = ReadPurpose::Serve { link: id, stream: link.stream };
                self.effects.push_back(Effect::ReadLog { purpose, version: link.cursor });
            }
        }
    }

    pub(super) fn serve_from_log(
        &mut self,
        id: LinkId,
        stream: u64,
        version: SeqNum,
        common: SeqNum,
        events: Vec<Event>,
    ) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.stream != stream {
            return;
        }
        link.is_reading = false;
        if link.cursor != version {
            // A push was taken meanwhile; what follows it is served next.
            return;
        }
        self.publish_events(id, (common != version).then_some(common), events);
    }

    fn publish_events(&mut self, id: LinkId, rollback_to: Option<SeqNum>, events: Vec<Event>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.is_due = false;
        let after = link.cursor;
        let last = events.last().map_or(rollback_to.unwrap_or(after), |event| event.num);
        let settled = at_most(self.state.settled_head, last);
        let events = events.into();
        let payload = match rollback_to {
            None => SessionPayload::Advance { after, events, settled },
            Some(rollback_to) => SessionPayload::Rebase { after, rollback_to, events, settled },
        };
        self.publish(id, payload);
    }

    /// Sends an item and notes what the session knows with it.
    pub(super) fn publish(&mut self, id: LinkId, payload: SessionPayload) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match &payload {
            SessionPayload::Advance { after, events, settled } => {
                link.cursor = events.last().map_or(*after, |event| event.num);
                link.settled = settled.position();
            }
            SessionPayload::Rebase { rollback_to, events, settled, .. } => {
                link.cursor = events.last().map_or(*rollback_to, |event| event.num);
                link.settled = settled.position();
            }
            SessionPayload::Accepted { last, settled, .. } => {
                link.cursor = *last;
                link.settled = settled.position();
            }
            SessionPayload::Refused { .. } => {}
        }
        link.untaken += 1;
        link.client_id = self.identity.client_id.clone();
        let gone = link.record.gone[link.gone_told..].to_vec();
        link.gone_told = link.record.gone.len();
        let item = LeaderItem { stream: link.stream, payload, gone, client_id: link.client_id.clone() };
        self.effects.push_back(Effect::Publish(id, item));
    }
}

/// A settled head as a payload that ends at `last` may tell it.
fn at_most(settled: SeqNum, last: SeqNum) -> SeqNum {
    if settled.position() <= last.position() { settled } else { last }
}
