//! A backend with a flaw that shows now and then.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use fastrand::Rng;
use futures::StreamExt;
use futures::future::ready;
use livestore_backend_memory::MemoryBackend;
use livestore_traits::{
    Args, BoxStream, Capabilities, ConnectionStatus, Cursor, GlobalSeq, PageInfo, Pull, PullError, PullMode,
    PullPage, Push, PushAck, PushError, SyncBackend, SyncedEvent, UnixMillis,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flaw {
    None,
    /// Acknowledges a push that follows the head, and does not store it.
    AcknowledgesAndDrops,
    /// Acknowledges a push beside another one that it stored.
    AcknowledgesTwoOnOneParent,
    /// Shows an event before it is stored, and then it is not.
    ShowsAndLoses,
    /// Does not know the last event yet when it is asked.
    ReadsStale,
    /// Stores a batch again when it is pushed again.
    AppendsRepeat,
    /// Does not recognise what it stored.
    RefusesRepeat,
    /// Leaves out the second page of a pull.
    LeavesOutPage,
    /// Gives back other args than it was given.
    ChangesContent,
}

#[derive(Clone, Debug)]
pub(crate) struct Flawed {
    inner: MemoryBackend,
    flaw: Flaw,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    rng: Rng,
    /// Batches that were acknowledged, by their first event.
    stored: HashSet<(GlobalSeq, String)>,
    /// Events that are shown and not stored.
    ghosts: Vec<SyncedEvent>,
}

impl Flawed {
    pub(crate) fn new(inner: MemoryBackend, flaw: Flaw, seed: u64) -> Self {
        let shared = Shared { rng: Rng::with_seed(seed), stored: HashSet::new(), ghosts: Vec::new() };
        Self { inner, flaw, shared: Arc::new(Mutex::new(shared)) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nothing panics while it is locked")
    }

    /// Whether the flaw shows, once in so many times.
    fn shows(&self, flaw: Flaw, times: u32) -> bool {
        self.flaw == flaw && self.shared().rng.u32(..times) == 0
    }

    fn made_up_ack(&self, push: &Push) -> PushAck {
        let after = GlobalSeq(push.parent.0 + push.events.len() as u64);
        PushAck::new(self.inner.backend_id().clone(), Cursor { after, token: None }, UnixMillis(0))
    }

    /// Stores the batch at the head, wherever that is.
    async fn append_again(&self, mut push: Push) {
        loop {
            let pages = self.inner.pull(Pull::new(None, Cursor::start(), PullMode::Once));
            let ends = pages.filter_map(|page| ready(page.ok().map(|page| page.through)));
            push.parent = ends.fold(GlobalSeq::ROOT, |_, through| ready(through)).await;
            for (parent, event) in (push.parent.0..).zip(&mut push.events) {
                (event.parent, event.seq) = (GlobalSeq(parent), GlobalSeq(parent + 1));
            }
            if self.inner.push(push.clone()).await.is_ok() {
                return;
            }
        }
    }

    fn spoil(&self, mode: PullMode, page: &mut PullPage) {
        let mut events = page.events.to_vec();
        let is_end = page.info == PageInfo::CaughtUp;
        if mode == PullMode::Once && is_end && events.len() > 1 && self.shows(Flaw::ReadsStale, 4) {
            events.pop();
        } else if is_end && self.flaw == Flaw::ShowsAndLoses {
            let ghosts = std::mem::take(&mut self.shared().ghosts);
            let fit = ghosts.first().is_some_and(|ghost| ghost.parent == page.through);
            events.extend(ghosts.into_iter().filter(|_| fit));
        } else if !events.is_empty() && self.shows(Flaw::ChangesContent, 20) {
            events[0].args = Args::from_value("something else").expect("text is JSON");
        } else {
            return;
        }
        *page = PullPage::new(page.after, events.into(), None, page.backend_id.clone(), page.info);
    }
}

#[async_trait]
impl SyncBackend for Flawed {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let name = (push.parent, push.events[0].args.as_str().to_owned());
        let is_repeat = self.shared().stored.contains(&name);
        if !is_repeat && self.shows(Flaw::AcknowledgesAndDrops, 20) {
            return Ok(self.made_up_ack(&push));
        }
        if !is_repeat && self.shows(Flaw::ShowsAndLoses, 10) {
            self.shared().ghosts.clone_from(&push.events);
            return Err(PushError::Unacknowledged("it went wrong".into()));
        }
        if is_repeat && self.shows(Flaw::AppendsRepeat, 2) {
            self.append_again(push.clone()).await;
        }
        let answer = self.inner.push(push.clone()).await;
        match &answer {
            Ok(ack) if is_repeat && self.shows(Flaw::RefusesRepeat, 2) => {
                return Err(PushError::UpstreamAhead { head: ack.cursor.after, missing: None });
            }
            Err(PushError::UpstreamAhead { .. }) if self.shows(Flaw::AcknowledgesTwoOnOneParent, 20) => {
                return Ok(self.made_up_ack(&push));
            }
            Ok(_) => drop(self.shared().stored.insert(name)),
            Err(_) => {}
        }
        answer
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let (this, mode) = (self.clone(), pull.mode);
        let pages = self.inner.pull(pull).map(move |page| {
            page.map(|mut page| {
                this.spoil(mode, &mut page);
                page
            })
        });
        if self.shows(Flaw::LeavesOutPage, 4) {
            return pages.enumerate().filter(|(index, _)| ready(*index != 1)).map(|(_, page)| page).boxed();
        }
        pages.boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.inner.connection()
    }
}
