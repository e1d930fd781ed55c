//! Parts that break a rule on purpose: whoever checks must notice.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use livestore_traits::{
    BoxStream, Capabilities, ConnectionStatus, GlobalSeq, PageInfo, Pull, PullError, PullPage, Push, PushAck,
    PushError, SyncBackend, SyncedEvent,
};

use crate::plan::Layer;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The server acknowledges what it has not made durable: a crash takes it back.
    AckBeforeSync,
    /// A page's cursor is past an event that the page does not have.
    HeadBeforeEvents,
    /// A log takes commits of leaders that were replaced.
    SkippedFencing,
    /// A pull shows events twice.
    RepeatedPage,
    /// A live pull is not woken by new events.
    LostWakeUp,
    /// An event of another client confirms the pending event at its number.
    PositionalConfirm,
}

impl Broken {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AckBeforeSync,
        Self::HeadBeforeEvents,
        Self::SkippedFencing,
        Self::RepeatedPage,
        Self::LostWakeUp,
        Self::PositionalConfirm,
    ];
}

impl Broken {
    /// The layer in which it can be broken.
    #[must_use]
    pub const fn layer(self) -> Layer {
        match self {
            // What is in memory is never synced.
            Self::AckBeforeSync => Layer::Disk,
            _ => Layer::Memory,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::HeadBeforeEvents => "head-before-events",
            Self::SkippedFencing => "skipped-fencing",
            Self::RepeatedPage => "repeated-page",
            Self::LostWakeUp => "lost-wake-up",
            Self::PositionalConfirm => "positional-confirm",
        })
    }
}

/// There is no such way to break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBroken(String);

impl fmt::Display for UnknownBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Broken::ALL.map(|broken| broken.to_string()).join(", ");
        write!(f, "{} is no way to break; there are {names}", self.0)
    }
}

impl std::error::Error for UnknownBroken {}

impl FromStr for Broken {
    type Err = UnknownBroken;

    fn from_str(name: &str) -> Result<Self, UnknownBroken> {
        let found = Self::ALL.into_iter().find(|broken| broken.to_string() == name);
        found.ok_or_else(|| UnknownBroken(name.to_owned()))
    }
}

/// Pages as a broken backend shows them.
pub(crate) fn pages(broken: Option<Broken>, pages: Pages) -> Pages {
    match broken {
        Some(Broken::HeadBeforeEvents) => pages.map(|page| page.map(without_last)).boxed(),
        Some(Broken::RepeatedPage) => pages.flat_map(twice).boxed(),
        Some(Broken::LostWakeUp) => {
            // Shows what is there, and nothing that comes later.
            let caught_up = |page: &Result<PullPage, PullError>| {
                page.as_ref().is_ok_and(|page| page.info == PageInfo::CaughtUp)
            };
            let until = pages.scan(false, move |over, page| {
                let page = (!*over).then_some(page);
                *over |= page.as_ref().is_some_and(caught_up);
                std::future::ready(page)
            });
            until.chain(futures::stream::pending()).boxed()
        }
        _ => pages,
    }
}

type Pages = BoxStream<'static, Result<PullPage, PullError>>;

/// The page without its last event, and as if it had it.
fn without_last(mut page: PullPage) -> PullPage {
    if let [events @ .., _] = &*page.events {
        page.events = events.into();
    }
    page
}

fn twice(page: Result<PullPage, PullError>) -> impl Stream<Item = Result<PullPage, PullError>> {
    let again = page.as_ref().ok().filter(|page| !page.events.is_empty()).cloned().map(Ok);
    futures::stream::iter(std::iter::once(page).chain(again))
}

/// The way to a backend of a client that takes any event at the number of its own for its own.
#[derive(Debug)]
pub(crate) struct Positional {
    way: Arc<dyn SyncBackend>,
    pushed: Arc<Mutex<BTreeMap<GlobalSeq, SyncedEvent>>>,
}

impl Positional {
    pub(crate) fn new(way: Arc<dyn SyncBackend>) -> Self {
        Self { way, pushed: Arc::default() }
    }

    fn note(&self, push: &Push) {
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        pushed.extend(push.events.iter().map(|event| (event.seq, event.clone())));
    }
}

#[async_trait]
impl SyncBackend for Positional {
    fn capabilities(&self) -> Capabilities {
        self.way.capabilities()
    }
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.note(&push);
        let answer = self.way.push(push).await;
        // Without what came meanwhile: it would come as a page, too.
        match answer {
            Err(PushError::UpstreamAhead { head, .. }) => {
                Err(PushError::UpstreamAhead { head, missing: None })
            }
            answer => answer,
        }
    }
    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let pushed = self.pushed.clone();
        let confused = move |page: Result<PullPage, PullError>| {
            let mut page = page?;
            let pushed = pushed.lock().unwrap_or_else(PoisonError::into_inner);
            let own = |event: &SyncedEvent| pushed.get(&event.seq).unwrap_or(event).clone();
            page.events = page.events.iter().map(own).collect();
            Ok(page)
        };
        self.way.pull(pull).map(confused).boxed()
    }
    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.way.connection()
    }
}
