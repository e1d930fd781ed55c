//! What happens when the backend's history is not the one this client knows.
//!
//! Nothing is changed before the new history has been compared with our confirmed events, up to the first difference:
//!
//! ```text
//!   Comparing ──▶ all of ours is in it ─────────────▶ take over its id, nothing else changes
//!       │    └──▶ it ends inside ours, `Reseed` ────▶ Reseeding: push the rest of ours again ──▶ take over its id
//!       └───────▶ they part after `base` ──▶ Sorting: what stays, what is archived ──▶ Reset at `base`
//! ```

use std::collections::VecDeque;

use livestore_traits::{
    BackendId, Cursor, Event, GoneCommit, GoneReason, PageInfo, Pull, PullMode, PullPage, PushAck, PushError,
    Recovery, SeqNum, SessionId, SyncedEvent, UpstreamMark,
};

use super::LeaderProcessor;
use super::gather::is_same;
use super::push::{Attempt, Batch, cut_batch, first_unit};
use crate::processor::config::Diverged;
use crate::processor::effect::{Effect, ReadPurpose, StopReason};
use crate::sync::Payload;

/// A comparison under way.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// Why, for people.
    reason: String,
    /// The last event of ours that the new history has too.
    shared: SeqNum,
    /// Where the log is read next.
    at: SeqNum,
    stage: Stage,
    /// Events of the new history that are not compared yet.
    theirs: VecDeque<SyncedEvent>,
    /// Whether the new history ends after those.
    ended: bool,
    backend_id: Option<BackendId>,
    is_reading: bool,
}

#[derive(Clone, Debug)]
enum Stage {
    Comparing,
    /// Collects what follows `shared` in our log.
    Sorting {
        kept: Vec<Event>,
        archived: Vec<(SessionId, u64)>,
    },
    /// Pushes what follows `shared` in our log.
    Reseeding {
        /// The last event of the push that is under way.
        pushed: SeqNum,
        /// The synced events of a unit that goes on after what was read.
        begun: Vec<Event>,
    },
}

impl History {
    fn new(reason: String) -> Self {
        Self {
            reason,
            shared: SeqNum::ROOT,
            at: SeqNum::ROOT,
            stage: Stage::Comparing,
            theirs: VecDeque::new(),
            ended: false,
            backend_id: None,
            is_reading: false,
        }
    }

    /// Begins (again) to compare; the pull for it.
    pub(super) fn begin(&mut self) -> Pull {
        *self = Self::new(std::mem::take(&mut self.reason));
        Pull::new(None, Cursor::start(), PullMode::Once)
    }

    pub(super) fn backend_id(&self) -> Option<BackendId> {
        self.backend_id.clone()
    }
}

impl LeaderProcessor {
    /// The backend is another one than before.
    pub(super) fn diverged(&mut self, reason: String) {
        tracing::warn!(reason, policy = ?self.config.diverged, "the backend's history is not the one this client knows");
        self.pusher.abandon();
        self.puller.forget();
        self.last_error = Some(reason.clone());
        match self.config.diverged {
            Diverged::Shutdown => self.stop(StopReason::Diverged(reason)),
            Diverged::Ignore => self.turn_off(reason),
            Diverged::Reset | Diverged::Reseed => {
                self.history = Some(History::new(reason));
                self.pull_again();
            }
        }
    }

    pub(super) fn history_page(&mut self, page: PullPage) {
        let Some(history) = &mut self.history else { return };
        if history.backend_id.as_ref().is_some_and(|known| *known != page.backend_id) {
            return self.pull_again();
        }
        history.backend_id = Some(page.backend_id);
        history.theirs.extend(page.events.iter().cloned());
        history.ended |= page.info == PageInfo::CaughtUp;
        self.compare();
    }

    pub(super) fn history_ended(&mut self) {
        if let Some(history) = &mut self.history {
            history.ended = true;
            self.compare();
        }
    }

    /// Goes on comparing: reads more of our log if there is something to compare it with.
    fn compare(&mut self) {
        let upstream_head = self.state.upstream_head;
        let Some(history) = &mut self.history else { return };
        if history.is_reading || !matches!(history.stage, Stage::Comparing) {
            return;
        }
        if history.shared == upstream_head && (history.ended || !history.theirs.is_empty()) {
            self.take_over();
        } else if !history.theirs.is_empty() {
            self.read_history(ReadPurpose::Compare);
        } else if history.ended && self.config.diverged == Diverged::Reseed {
            tracing::info!(from = %history.shared, "the new history is the beginning of ours; pushing the rest again");
            history.stage = Stage::Reseeding { pushed: history.shared, begun: Vec::new() };
            history.at = history.shared;
            self.read_history(ReadPurpose::Reseed);
        } else if history.ended {
            self.sort();
        }
    }

    fn read_history(&mut self, purpose: ReadPurpose) {
        // The log must hold what the state counts as settled.
        self.end_turn();
        if let Some(history) = &mut self.history {
            history.is_reading = true;
            self.effects.push_back(Effect::ReadLog { purpose, version: history.at });
        }
    }

    /// Events of our log have been read, for whatever the comparison is about to do.
    pub(super) fn history_read(&mut self, events: Vec<Event>) {
        let Some(history) = &mut self.history else { return };
        history.is_reading = false;
        match history.stage {
            Stage::Comparing => self.compare_with(events),
            Stage::Sorting { .. } => self.sort_events(events),
            Stage::Reseeding { .. } => self.reseed(events),
        }
    }

    /// Compares confirmed events of ours with the new history, up to the first difference.
    fn compare_with(&mut self, ours: Vec<Event>) {
        let upstream_head = self.state.upstream_head;
        let Some(history) = &mut self.history else { return };
        if ours.is_empty() {
            return self.sort();
        }
        for event in ours {
            if event.num.position() > upstream_head.position() {
                break;
            }
            if event.num.is_synced() {
                let Some(theirs) = history.theirs.front() else { break };
                if theirs.seq != event.num.global || !is_same(&event, theirs) {
                    return self.sort();
                }
                history.theirs.pop_front();
                history.shared = event.num;
            }
            history.at = event.num;
        }
        self.compare();
    }

    /// All confirmed events of ours stand in the new history: it goes on where the old one did.
    fn take_over(&mut self) {
        let Some(history) = self.history.take() else { return };
        tracing::info!("the backend has all of our history; going on with it");
        self.mark = UpstreamMark {
            head: self.state.upstream_head,
            cursor: Cursor { after: self.state.upstream_head.global, token: None },
            backend_id: history.backend_id,
        };
        self.turn.touch();
        // Not at once: a backend that says so again must not keep us comparing as fast as we can.
        self.pull_later();
    }

    /// The histories part after `shared`: finds what stays and what goes of ours.
    fn sort(&mut self) {
        let Some(history) = &mut self.history else { return };
        history.stage = Stage::Sorting { kept: Vec::new(), archived: Vec::new() };
        history.at = history.shared;
        self.read_history(ReadPurpose::Sort);
    }

    fn sort_events(&mut self, events: Vec<Event>) {
        let settled = self.state.settled_head.position();
        let Some(history) = &mut self.history else { return };
        let Stage::Sorting { kept, archived } = &mut history.stage else { return };
        for event in events {
            if event.num.position() > settled {
                return self.reset();
            }
            history.at = event.num;
            if !event.num.is_synced() {
                kept.push(event);
            } else if let Some((session, commit)) = event.identity() {
                if archived.last().is_none_or(|(last, n)| last != session || *n != commit.n) {
                    archived.push((session.clone(), commit.n));
                }
                self.returning.note(event);
            }
        }
        if history.at.position() >= settled {
            self.reset();
        } else {
            self.read_history(ReadPurpose::Sort);
        }
    }

    /// Begins the new history at the last shared event. Unconfirmed and client-only events follow on top.
    fn reset(&mut self) {
        let Some(history) = self.history.take() else { return };
        let Stage::Sorting { kept, archived } = history.stage else { return };
        let base = history.shared;
        self.end_turn();
        let mut keep = kept;
        keep.extend(self.state.pending.iter().cloned());
        let change = self.merge_own(Payload::Reset { base, keep });
        self.mark = UpstreamMark {
            head: base,
            cursor: Cursor { after: base.global, token: None },
            backend_id: history.backend_id,
        };
        self.add_to_turn(change);
        self.turn.reset_at(base, history.reason);
        for (session_id, n) in archived {
            self.note_gone(&session_id, GoneCommit { n, reason: GoneReason::Archived });
        }
        // Not at once: a backend that is two-faced must not make us reset as fast as we can.
        self.pull_later();
    }

    /// Pushes confirmed events of ours to the new history, in batches.
    fn reseed(&mut self, read: Vec<Event>) {
        let upstream_head = self.state.upstream_head;
        let Some(history) = &mut self.history else { return };
        let Stage::Reseeding { begun, .. } = &mut history.stage else { return };
        let Some(last) = read.last().map(|event| event.num) else { return self.take_over() };
        let mut events = std::mem::take(begun);
        events.extend(read);
        let is_confirmed = |event: &&Event| event.num.global <= upstream_head.global;
        let confirmed = || events.iter().take_while(is_confirmed);
        let batch = match cut_batch(confirmed(), &self.limits) {
            Batch::Events(batch) => self.pusher.halved(batch),
            // A backend has taken it once, from a client with other limits; whether this one does, it says itself.
            Batch::UnitTooLarge(_) => first_unit(confirmed(), last.global >= upstream_head.global),
        };
        if !batch.is_empty() {
            let end = batch.last().map(|event| event.seq);
            let is_end = |event: &&Event| event.num.is_synced() && Some(event.num.global) == end;
            let pushed = events.iter().find(is_end).map_or(history.shared, |event| event.num);
            history.stage = Stage::Reseeding { pushed, begun: Vec::new() };
            let parent = history.shared.global;
            self.push_events(parent, batch, false);
        } else if last.global >= upstream_head.global {
            self.take_over();
        } else {
            events.retain(|event| event.num.is_synced());
            *begun = events;
            history.at = last;
            self.read_history(ReadPurpose::Reseed);
        }
    }

    pub(super) fn reseed_answered(&mut self, attempt: &Attempt, answer: Result<PushAck, PushError>) {
        // The pull has nothing more to say meanwhile; that is not silence.
        self.puller.heard(self.now);
        let Some(history) = &mut self.history else { return };
        let Stage::Reseeding { pushed, .. } = history.stage else { return };
        match answer {
            Ok(_) => {
                history.shared = pushed;
                history.at = pushed;
                if pushed.position() >= self.state.upstream_head.position() {
                    self.take_over();
                } else {
                    self.read_history(ReadPurpose::Reseed);
                }
            }
            Err(error) if error.recovery() == Recovery::Fatal => self.turn_off(error.to_string()),
            // It will never take all of our history, so the rest is archived instead.
            Err(error) if matches!(error.recovery(), Recovery::Drop | Recovery::NewClientId) => self.sort(),
            Err(PushError::TooLarge { .. }) if attempt.is_one_unit() => self.sort(),
            Err(PushError::TooLarge { limits }) => {
                self.limits = attempt.lowered(self.limits, limits);
                self.pull_later();
            }
            // Somebody else was first, or the answer is lost: look again at what is there.
            Err(_) => self.pull_later(),
        }
    }
}
