//! Which fault hits which operation: from a script first, then by chance.

use std::collections::VecDeque;
use std::time::Duration;

/// One fault. It hits the next push, or the next pull, that no earlier fault of the script claims.
///
/// Pages of a pull count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The push goes through: a place holder in scripts.
    PassPush,
    /// The push fails before anything is sent: `Offline`.
    FailPush,
    /// The backend is too busy for the push and stores nothing: `Busy`.
    BusyPush,
    /// The push takes effect, or is refused, and nobody hears of it: `Unacknowledged`.
    LoseAnswer,
    /// The push reaches the backend twice; the second answer counts.
    PushTwice,
    /// The push waits this long before it is sent.
    DelayPush(Duration),
    /// The pull goes through: a place holder in scripts.
    PassPull,
    /// The pull breaks after this many pages: `Offline`. With 0 it fails at once.
    CutPull {
        /// Pages delivered before.
        after_pages: usize,
    },
    /// The pull says nothing more after this many pages, and never ends.
    StallPull {
        /// Pages delivered before.
        after_pages: usize,
    },
    /// This page of the pull is delivered twice.
    RepeatPage {
        /// Which one.
        page: usize,
    },
    /// This page of the pull is missing: a gap, unless it was empty.
    SkipPage {
        /// Which one.
        page: usize,
    },
    /// This page of the pull comes later.
    DelayPage {
        /// Which one.
        page: usize,
        /// By how much.
        by: Duration,
    },
}

/// How often faults come by chance: probabilities from 0 to 1, per push or per page. At most one hits at a time.
///
/// There is no rate for stalled pulls and missing pages, because not every reader can get over those by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultRates {
    /// [`Fault::FailPush`].
    pub fail_push: f64,
    /// [`Fault::BusyPush`].
    pub busy_push: f64,
    /// [`Fault::LoseAnswer`].
    pub lose_answer: f64,
    /// [`Fault::PushTwice`].
    pub push_twice: f64,
    /// [`Fault::DelayPush`], by up to [`Self::max_delay`].
    pub delay_push: f64,
    /// [`Fault::CutPull`], drawn before each page.
    pub cut_pull: f64,
    /// [`Fault::RepeatPage`].
    pub repeat_page: f64,
    /// [`Fault::DelayPage`], by up to [`Self::max_delay`].
    pub delay_page: f64,
    /// The longest delay.
    pub max_delay: Duration,
}

impl FaultRates {
    /// Every kind of fault with the same rate, and delays up to `max_delay`.
    #[must_use]
    pub const fn all(rate: f64, max_delay: Duration) -> Self {
        Self {
            fail_push: rate,
            busy_push: rate,
            lose_answer: rate,
            push_twice: rate,
            delay_push: rate,
            cut_pull: rate,
            repeat_page: rate,
            delay_page: rate,
            max_delay,
        }
    }
}

/// What happens to a push.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PushFate {
    Pass,
    Fail,
    Busy,
    LoseAnswer,
    Twice,
    Delay(Duration),
}

/// What happens to a pull, as its script says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PullScript {
    Pass,
    Cut { after_pages: usize },
    Stall { after_pages: usize },
    Page { page: usize, fate: PageFate },
}

/// What happens to a pull before its next page is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WaitFate {
    Pass,
    Cut,
    Stall,
}

/// What happens to a page that came.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PageFate {
    Pass,
    Repeat,
    Skip,
    Delay(Duration),
}

/// Decides the fate of each operation.
#[derive(Debug)]
pub(crate) struct Faults {
    pushes: VecDeque<PushFate>,
    pulls: VecDeque<PullScript>,
    rates: FaultRates,
    chance: fastrand::Rng,
}

impl Faults {
    pub(crate) fn new(rates: FaultRates, seed: u64) -> Self {
        let chance = fastrand::Rng::with_seed(seed);
        Self { pushes: VecDeque::new(), pulls: VecDeque::new(), rates, chance }
    }

    pub(crate) fn script(&mut self, fault: Fault) {
        let page = |page, fate| PullScript::Page { page, fate };
        match fault {
            Fault::PassPush => self.pushes.push_back(PushFate::Pass),
            Fault::FailPush => self.pushes.push_back(PushFate::Fail),
            Fault::BusyPush => self.pushes.push_back(PushFate::Busy),
            Fault::LoseAnswer => self.pushes.push_back(PushFate::LoseAnswer),
            Fault::PushTwice => self.pushes.push_back(PushFate::Twice),
            Fault::DelayPush(by) => self.pushes.push_back(PushFate::Delay(by)),
            Fault::PassPull => self.pulls.push_back(PullScript::Pass),
            Fault::CutPull { after_pages } => self.pulls.push_back(PullScript::Cut { after_pages }),
            Fault::StallPull { after_pages } => self.pulls.push_back(PullScript::Stall { after_pages }),
            Fault::RepeatPage { page: at } => self.pulls.push_back(page(at, PageFate::Repeat)),
            Fault::SkipPage { page: at } => self.pulls.push_back(page(at, PageFate::Skip)),
            Fault::DelayPage { page: at, by } => self.pulls.push_back(page(at, PageFate::Delay(by))),
        }
    }

    pub(crate) fn heal(&mut self) {
        self.pushes.clear();
        self.pulls.clear();
        self.rates = FaultRates::default();
    }

    pub(crate) fn next_push(&mut self) -> PushFate {
        if let Some(fate) = self.pushes.pop_front() {
            return fate;
        }
        let rates = self.rates;
        let by = self.delay();
        self.pick(&[
            (rates.fail_push, PushFate::Fail),
            (rates.busy_push, PushFate::Busy),
            (rates.lose_answer, PushFate::LoseAnswer),
            (rates.push_twice, PushFate::Twice),
            (rates.delay_push, PushFate::Delay(by)),
        ])
        .unwrap_or(PushFate::Pass)
    }

    /// The script of the next pull; `None` leaves it to chance.
    pub(crate) fn next_pull(&mut self) -> Option<PullScript> {
        self.pulls.pop_front()
    }

    pub(crate) fn before_page(&mut self, script: Option<PullScript>, page: usize) -> WaitFate {
        match script {
            Some(PullScript::Cut { after_pages }) if page == after_pages => WaitFate::Cut,
            Some(PullScript::Stall { after_pages }) if page == after_pages => WaitFate::Stall,
            Some(_) => WaitFate::Pass,
            None => self.pick(&[(self.rates.cut_pull, WaitFate::Cut)]).unwrap_or(WaitFate::Pass),
        }
    }

    /// Drawn when the page is there, not before it is waited for: a fault must not strike after it was healed.
    pub(crate) fn on_page(&mut self, script: Option<PullScript>, page: usize) -> PageFate {
        match script {
            Some(PullScript::Page { page: at, fate }) if page == at => fate,
            Some(_) => PageFate::Pass,
            None => {
                let rates = self.rates;
                let by = self.delay();
                self.pick(&[(rates.repeat_page, PageFate::Repeat), (rates.delay_page, PageFate::Delay(by))])
                    .unwrap_or(PageFate::Pass)
            }
        }
    }

    fn delay(&mut self) -> Duration {
        self.rates.max_delay.mul_f64(self.chance.f64())
    }

    /// At most one of the choices, each with its own probability.
    fn pick<T: Copy>(&mut self, choices: &[(f64, T)]) -> Option<T> {
        let mut drawn = self.chance.f64();
        for (rate, choice) in choices {
            if drawn < *rate {
                return Some(*choice);
            }
            drawn -= rate;
        }
        None
    }
}
