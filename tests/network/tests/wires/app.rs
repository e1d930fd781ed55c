//! An application without an engine: follows the log and pushes its events one by one, as a careful client does.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures::StreamExt;
use futures::future::{BoxFuture, OptionFuture};
use livestore_conformance::backend::sample_event;
use livestore_traits::{
    BackendId, BoxStream, Cursor, GlobalSeq, Pull, PullError, PullMode, PullPage, Push, PushAck, PushError,
    Recovery, SyncBackend, SyncedEvent,
};
use tokio::time::{Instant, sleep_until};

/// How often a backend without live pull is asked.
const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// How long to wait after an error.
const PAUSE: Duration = Duration::from_millis(500);

/// When the application does what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Nothing is wrong any more from here on.
    pub(crate) healed: Instant,
    /// No further event is begun.
    pub(crate) last_event: Instant,
    pub(crate) end: Instant,
}

/// What is left of an application.
#[derive(Debug)]
pub(crate) struct Report {
    /// What it saw, with the time.
    pub(crate) trace: Vec<String>,
    pub(crate) log: Vec<SyncedEvent>,
    /// How many events it pushed that it knows to be there.
    pub(crate) pushed: u64,
    /// How long after the healing the first push was acknowledged, and the first page came.
    pub(crate) first_ack: Option<Duration>,
    pub(crate) first_page: Option<Duration>,
}

pub(crate) struct App {
    name: String,
    backend: Arc<dyn SyncBackend>,
    random: Rng,
    plan: Plan,
    began: Instant,
    backend_id: Option<BackendId>,
    cursor: Cursor,
    log: Vec<SyncedEvent>,
    /// Where the running pull is.
    pulled: GlobalSeq,
    /// When there is something to do, and whether the log is to be read first.
    next: Instant,
    must_pull: bool,
    report: Report,
}

type Pages = BoxStream<'static, Result<PullPage, PullError>>;

impl App {
    pub(crate) fn new(name: String, backend: Arc<dyn SyncBackend>, plan: Plan, random: Rng) -> Self {
        let report = Report { trace: vec![], log: vec![], pushed: 0, first_ack: None, first_page: None };
        Self {
            name,
            backend,
            random,
            plan,
            began: Instant::now(),
            backend_id: None,
            cursor: Cursor::start(),
            log: Vec::new(),
            pulled: GlobalSeq::ROOT,
            next: Instant::now(),
            must_pull: false,
            report,
        }
    }

    pub(crate) async fn run(mut self) -> Report {
        let mut pages = Some(self.follow());
        let mut follow_at = Instant::now();
        let mut pushing: Option<BoxFuture<'static, Result<PushAck, PushError>>> = None;
        while Instant::now() < self.plan.end {
            let is_pushing = pushing.is_some();
            tokio::select! {
                biased;
                Some(page) = OptionFuture::from(pages.as_mut().map(|pages| pages.next())) => {
                    if let Some(pause) = self.take(page) {
                        pages = None;
                        follow_at = Instant::now() + pause;
                    }
                }
                Some(outcome) = OptionFuture::from(pushing.as_mut()) => {
                    pushing = None;
                    self.pushed(outcome);
                }
                () = sleep_until(follow_at), if pages.is_none() => pages = Some(self.follow()),
                () = sleep_until(self.next), if !is_pushing => pushing = self.act(&mut pages).await,
                () = sleep_until(self.plan.end) => {}
            }
        }
        self.report.log = self.log;
        self.report
    }

    fn follow(&mut self) -> Pages {
        self.pulled = self.cursor.after;
        self.backend.pull(Pull::new(self.backend_id.clone(), self.cursor.clone(), PullMode::Live))
    }

    /// Takes what a pull says. If it is over, says when to pull again.
    fn take(&mut self, page: Option<Result<PullPage, PullError>>) -> Option<Duration> {
        match page {
            Some(Ok(page)) => {
                assert_eq!(page.after, self.pulled, "{}: a pull has a gap or a repeat", self.name);
                self.pulled = page.through;
                self.learn(&page);
                if !page.events.is_empty() {
                    let after_healing = self.since_healing();
                    self.report.first_page = self.report.first_page.or(after_healing);
                }
                None
            }
            Some(Err(error)) => {
                self.note(&format!("pull failed: {error}"));
                assert_eq!(error.recovery(), Recovery::Backoff, "{}: {error:?}", self.name);
                Some(PAUSE)
            }
            None => Some(POLL_INTERVAL),
        }
    }

    fn learn(&mut self, page: &PullPage) {
        self.note(&format!("page {} to {}", page.after, page.through));
        for event in page.events.iter() {
            let known = self.log.len() as u64;
            match self.log.get(event.parent.0 as usize) {
                Some(standing) => assert!(standing.is_same(event), "{}: {} changed", self.name, event.seq),
                None => {
                    assert_eq!(event.parent.0, known, "{}: a hole in the log", self.name);
                    self.log.push(event.clone());
                }
            }
        }
        self.backend_id = Some(page.backend_id.clone());
        if page.cursor.after >= self.cursor.after {
            self.cursor = page.cursor.clone();
        }
        if self.log.iter().rev().any(|event| is(event, &self.name, self.report.pushed)) {
            self.report.pushed += 1;
            self.must_pull = false;
            self.note(&format!("{} is there", self.report.pushed));
            self.next = Instant::now() + Duration::from_millis(self.random.u64(..20_000));
        }
    }

    /// Does what is due: reads the log, or pushes the next event.
    async fn act(
        &mut self,
        pages: &mut Option<Pages>,
    ) -> Option<BoxFuture<'static, Result<PushAck, PushError>>> {
        self.next = Instant::now() + PAUSE;
        if self.must_pull {
            // The follower goes on from there.
            *pages = None;
            self.must_pull = !self.catch_up().await;
            return None;
        }
        if Instant::now() > self.plan.last_event {
            self.next = self.plan.end;
            return None;
        }
        let parent = GlobalSeq(self.log.len() as u64);
        let args = format!(r#"{{"by":"{}","n":{}}}"#, self.name, self.report.pushed);
        let mut event = sample_event(&self.name, parent, &args);
        event.commit = None;
        let push = Push::new(self.backend_id.clone(), parent, None, vec![event]);
        self.note(&format!("pushes {} after {parent}", self.report.pushed));
        let backend = self.backend.clone();
        Some(Box::pin(async move { backend.push(push).await }))
    }

    /// Reads the log to its head. Whether that worked.
    async fn catch_up(&mut self) -> bool {
        let pull = Pull::new(self.backend_id.clone(), self.cursor.clone(), PullMode::Once);
        let mut pages = self.backend.pull(pull);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => self.learn(&page),
                Err(error) => {
                    self.note(&format!("reading failed: {error}"));
                    return false;
                }
            }
        }
        true
    }

    fn pushed(&mut self, outcome: Result<PushAck, PushError>) {
        match outcome {
            Ok(ack) => {
                self.note(&format!("acknowledged {}", ack.cursor.after));
                let after_healing = self.since_healing();
                self.report.first_ack = self.report.first_ack.or(after_healing);
                // The follower brings it; if not, the log is read.
                self.must_pull = true;
                self.next = Instant::now() + PAUSE * 10;
            }
            Err(error) => {
                self.note(&format!("push failed: {error}"));
                match error.recovery() {
                    Recovery::Rebase | Recovery::PullThenRetry => self.must_pull = true,
                    Recovery::Backoff => {}
                    other => panic!("{}: {error:?} asks for {other:?}", self.name),
                }
                self.next = Instant::now() + PAUSE;
            }
        }
    }

    fn since_healing(&self) -> Option<Duration> {
        Instant::now().checked_duration_since(self.plan.healed)
    }

    fn note(&mut self, what: &str) {
        let ms = self.began.elapsed().as_millis();
        self.report.trace.push(format!("{ms} {} {what}", self.name));
    }
}

/// Whether this is the event of that number.
pub(crate) fn is(event: &SyncedEvent, name: &str, number: u64) -> bool {
    event.client_id.as_str() == name && event.args.as_str().ends_with(&format!("\"n\":{number}}}"))
}
