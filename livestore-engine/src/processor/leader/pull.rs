//! The leader's pull: when it runs, when it begins again, and how long anything is waited for.
//!
//! ```text
//!   Waiting ──▶ Pulling ──▶ page … page ──▶ Waiting     backoff after an error, the poll interval where there is no live pull
//!                  └── silent too long, a gap, an answer that asks for it: pull again at once
//! ```

use std::time::Instant;

use livestore_traits::{Capabilities, ConnectionStatus, Pull, PullError, PullMode, PullPage, Recovery};

use super::LeaderProcessor;
use super::gather::{Gathered, check_page};
use super::links::MAX_PATIENCE;
use super::status::with_sources;
use crate::processor::backoff::Backoff;
use crate::processor::config::LeaderConfig;
use crate::processor::effect::Effect;
use crate::processor::input::{LinkId, PullId};

#[derive(Clone, Debug)]
pub(super) struct Puller {
    pub(super) phase: Phase,
    pub(super) connection: ConnectionStatus,
    /// Whether the backend goes on after catching up; not known before it told.
    live: Option<bool>,
    /// Whether pages tell what follows them. If not, each may be the last for a while.
    pub(super) page_info: bool,
    /// Whether the pull has reached the head since it was last opened.
    pub(super) caught_up: bool,
    /// Events still to come, if the backend says so.
    pub(super) remaining: Option<u64>,
    pub(super) gathered: Gathered,
    /// Pages wait for this session's next push, but not longer than until then: `pull_timeout` ends the wait.
    pub(super) hold: Option<(LinkId, Instant)>,
    /// The events behind an `UpstreamAhead` must have arrived by then.
    pub(super) expect_by: Option<Instant>,
    backoff: Backoff,
    next_id: u64,
}

/// Whether a pull runs.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// The next one begins then.
    Waiting { until: Instant },
    /// This one runs.
    Pulling { id: PullId, heard: Instant },
    /// None will ever begin again.
    Off,
}

impl Puller {
    pub(super) fn new(config: &LeaderConfig, now: Instant, has_upstream: bool) -> Self {
        Self {
            phase: if has_upstream { Phase::Waiting { until: now } } else { Phase::Off },
            connection: ConnectionStatus::Offline,
            live: None,
            page_info: true,
            caught_up: false,
            remaining: None,
            gathered: Gathered::default(),
            hold: None,
            expect_by: None,
            backoff: Backoff::new(config.backoff_min, config.backoff_max),
            next_id: 0,
        }
    }

    pub(super) fn turn_off(&mut self) {
        self.phase = Phase::Off;
        self.forget();
    }

    /// Whether the next pull is to begin now.
    fn is_due(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Waiting { until } if until <= now)
    }

    /// The backend has given a sign of life.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Phase::Pulling { heard, .. } = &mut self.phase {
            *heard = now;
        }
    }

    /// Forgets what a pull brought that is not merged.
    pub(super) fn forget(&mut self) {
        self.gathered = Gathered::default();
        self.caught_up = false;
        self.expect_by = None;
    }

    /// Pages wait until this session has pushed again: otherwise a fast pull could refuse it for ever.
    pub(super) fn hold_for(&mut self, link: LinkId, until: Instant) {
        // One wait is not made longer by being refused once more during it.
        if self.hold.is_none_or(|(held, _)| held != link) {
            self.hold = Some((link, until));
        }
    }

    pub(super) fn release_hold(&mut self, link: LinkId) {
        if self.hold.is_some_and(|(held, _)| held == link) {
            self.hold = None;
        }
    }

    /// Whether everything that has come is merged and the head was reached.
    pub(super) fn is_caught_up(&self) -> bool {
        self.caught_up && self.gathered.mark.is_none()
    }

    pub(super) const fn is_off(&self) -> bool {
        matches!(self.phase, Phase::Off)
    }
}

impl LeaderProcessor {
    pub(super) fn learn_capabilities(&mut self, capabilities: &Capabilities) {
        self.puller.live = Some(capabilities.live_pull);
        self.puller.page_info = capabilities.page_info;
        self.limits = self.config.limits.min(capabilities.limits);
    }

    /// Begins a pull if one is due.
    pub(super) fn start_pull(&mut self) {
        if !self.puller.is_due(self.now) {
            return;
        }
        // What came with the answer to a push need not come again.
        self.merge_now();
        if !self.puller.is_due(self.now) {
            return;
        }
        let id = PullId(self.puller.next_id);
        self.puller.next_id += 1;
        self.puller.forget();
        self.puller.phase = Phase::Pulling { id, heard: self.now };
        let pull = match &mut self.history {
            Some(history) => history.begin(),
            None => {
                let mode = if self.puller.live.unwrap_or(true) { PullMode::Live } else { PullMode::Once };
                Pull::new(self.mark.backend_id.clone(), self.mark.cursor.clone(), mode)
            }
        };
        self.effects.push_back(Effect::StartPull(id, pull));
    }

    /// Drops the pull that runs and begins another one at once. What it brought is kept: a connection that always breaks
    /// after one page still makes progress.
    pub(super) fn pull_again(&mut self) {
        if !self.puller.is_off() {
            self.merge_now();
            self.puller.phase = Phase::Waiting { until: self.now };
            self.puller.forget();
        }
    }

    /// Drops the pull that runs and begins another one after a backoff.
    pub(super) fn pull_later(&mut self) {
        if !self.puller.is_off() {
            self.merge_now();
            let until = self.puller.backoff.failed(self.now, &mut self.jitter);
            self.puller.phase = Phase::Waiting { until };
            self.puller.forget();
            self.effects.push_back(Effect::StopPull);
        }
    }

    pub(super) fn sync_now(&mut self) {
        if let Phase::Waiting { until } = &mut self.puller.phase {
            *until = self.now;
        }
        self.pusher.try_now();
    }

    fn is_current(&self, id: PullId) -> bool {
        matches!(self.puller.phase, Phase::Pulling { id: current, .. } if current == id)
    }

    pub(super) fn page(&mut self, id: PullId, page: PullPage) {
        if !self.is_current(id) {
            return;
        }
        self.puller.heard(self.now);
        self.last_error = None;
        if let Err(why) = check_page(&page) {
            return self.broken_upstream(&why);
        }
        self.puller.backoff.reset();
        if self.history.is_some() {
            return self.history_page(page);
        }
        self.gather(page);
    }

    /// The backend sends what no backend may: perhaps the next pull does better.
    pub(super) fn broken_upstream(&mut self, why: &str) {
        tracing::error!(why, "the backend broke the rules; pulling again later");
        self.last_error = Some(format!("the backend broke the rules: {why}"));
        self.pull_later();
    }

    pub(super) fn pull_ended(&mut self, id: PullId, error: Option<PullError>) {
        if !self.is_current(id) {
            return;
        }
        let Some(error) = error else {
            return self.pull_caught_up();
        };
        tracing::debug!(%error, "the pull ended");
        self.last_error = Some(with_sources(&error));
        match error.recovery() {
            Recovery::Diverged if self.history.is_none() => self.diverged(error.to_string()),
            Recovery::Fatal => self.turn_off(error.to_string()),
            _ => self.pull_later(),
        }
    }

    /// A pull that ends by itself has caught up: ask again after a while.
    fn pull_caught_up(&mut self) {
        if self.history.is_some() {
            return self.history_ended();
        }
        if self.puller.live.unwrap_or(true) {
            return self.pull_later();
        }
        // It ended because it had nothing more, whatever its last page said or by what that was overtaken.
        self.puller.caught_up = true;
        let wait = self.jitter.apply(self.config.poll_interval);
        self.puller.phase = Phase::Waiting { until: self.now + wait };
    }

    pub(super) fn turn_off(&mut self, why: String) {
        tracing::error!(why, "syncing stopped; the store stays usable offline");
        self.last_error = Some(why);
        self.puller.turn_off();
        self.history = None;
        self.effects.push_back(Effect::StopPull);
    }

    pub(super) fn pull_timeout(&mut self) {
        if self.puller.expect_by.is_some_and(|by| by <= self.now) {
            tracing::debug!("what the backend is ahead by did not arrive; pulling again");
            return self.pull_again();
        }
        if let Phase::Pulling { heard, .. } = self.puller.phase
            && heard + self.config.silence_timeout <= self.now
        {
            tracing::debug!("the pull was silent for too long; pulling again");
            self.pull_again();
        }
        if self.held_until().is_some_and(|until| until <= self.now) {
            self.puller.hold = None;
        }
    }

    /// Until when pages wait for a session. Sessions that are refused by turns do not add their waits up.
    fn held_until(&self) -> Option<Instant> {
        let (_, until) = self.puller.hold?;
        let longest = self.config.fairness_time * (1 << MAX_PATIENCE);
        Some(self.puller.gathered.since.map_or(until, |since| until.min(since + longest)))
    }

    pub(super) fn pull_deadline(&self) -> Option<Instant> {
        let phase = match self.puller.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Pulling { heard, .. } => Some(heard + self.config.silence_timeout),
            Phase::Off => None,
        };
        let gather = self.puller.gathered.since.map(|since| since + self.config.gather_time);
        [phase, self.puller.expect_by, self.held_until().or(gather)].into_iter().flatten().min()
    }
}
