//! The server: a backend that can crash, be reset and be restored, under a model that checks what it says.

use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures::stream::{Stream, once};
use futures::{FutureExt, StreamExt};
use livestore_traits::{
    BoxStream, Capabilities, ConnectionStatus, Cursor, GlobalSeq, Pull, PullError, PullMode, PullPage, Push,
    PushAck, PushError, RejectCode, Rejection, SyncBackend, SyncedEvent,
};
use tokio::task::unconstrained;

use crate::app::Kind;
use crate::broken::Broken;
use crate::faults::Fault;
use crate::record::Record;
use crate::wakes::{Place, Wakes};

/// When the server crashes within the next push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashAt {
    /// Nothing of it is stored.
    BeforePush,
    /// It is stored, and not answered.
    AfterPush,
}

/// The server. Clones are handles of the same one; it is a [`SyncBackend`] that transports may stand before.
#[derive(Clone)]
pub(crate) struct Server(Arc<Shared>);

struct Shared {
    record: Record,
    broken: Option<Broken>,
    state: Mutex<State>,
    /// Those who follow the log.
    wakes: Wakes,
}

struct State {
    /// Rises when all connections end.
    epoch: u64,
    /// None while the server is down.
    backend: Option<Arc<dyn SyncBackend>>,
    /// What the log must be.
    log: Vec<SyncedEvent>,
    /// The lengths that the log had after each batch.
    batch_ends: Vec<usize>,
    armed: Option<CrashAt>,
    /// Pushes that failed and may be in the log all the same.
    doubt: Vec<Vec<SyncedEvent>>,
    /// The storage failed: nothing more is accepted until it is opened again.
    failed: bool,
    dead_subscribers: Vec<BoxStream<'static, Result<PullPage, PullError>>>,
}

impl Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// One that is down.
    pub(crate) fn new(record: Record, broken: Option<Broken>) -> Self {
        let state = State {
            epoch: 0,
            backend: None,
            log: Vec::new(),
            batch_ends: Vec::new(),
            armed: None,
            doubt: Vec::new(),
            failed: false,
            dead_subscribers: Vec::new(),
        };
        Self(Arc::new(Shared { record, broken, state: Mutex::new(state), wakes: Wakes::default() }))
    }

    /// All connections end, and nothing is answered until [`Self::start`].
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.backend = None;
        state.epoch += 1;
        let dead = std::mem::take(&mut state.dead_subscribers);
        drop(state);
        drop(dead);
        self.0.wakes.ring_all();
    }

    /// Answers again, from `backend`, which has what it must have: all that was acknowledged, and of what was in doubt
    /// whole batches.
    pub(crate) fn start(&self, backend: Arc<dyn SyncBackend>) {
        let Some(found) = read_all(&*backend) else {
            return self.0.record.violate("the server's log cannot be read");
        };
        let mut state = self.state();
        state.failed = false;
        for batch in std::mem::take(&mut state.doubt) {
            let len = state.log.len();
            let is_there = batch.first().is_some_and(|event| event.parent.0 == len as u64)
                && found.get(len..len + batch.len()).is_some_and(|stands| is_same(stands, &batch));
            if is_there {
                state.log.extend(batch);
                let end = state.log.len();
                state.batch_ends.push(end);
            }
        }
        self.0.record.check(is_same(&found, &state.log), || {
            format!("the server's log has {} events after a start, and not {}", found.len(), state.log.len())
        });
        state.backend = Some(backend);
    }

    /// Whether the storage failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// Stops in the middle of the next push.
    pub(crate) fn arm(&self, crash: CrashAt) {
        self.state().armed = Some(crash);
    }

    pub(crate) fn disarm(&self) {
        self.state().armed = None;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state().backend.is_some()
    }

    /// What the log must be.
    pub(crate) fn log(&self) -> Vec<SyncedEvent> {
        self.state().log.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.state().log.len()
    }

    /// The lengths that the log had after each batch.
    pub(crate) fn batch_ends(&self) -> Vec<usize> {
        self.state().batch_ends.clone()
    }

    /// From now on the log must be its first `len` events, the end of a batch.
    pub(crate) fn truncate(&self, len: usize) {
        let mut state = self.state();
        state.log.truncate(len);
        state.doubt.clear();
        state.batch_ends.retain(|end| *end <= len);
    }

    /// Somebody subscribes, reads a little, and never again.
    pub(crate) async fn subscribe_dead(&self) {
        let mut pages = self.pull(Pull::new(None, Cursor::start(), PullMode::Live));
        let _ = pages.next().await;
        self.state().dead_subscribers.push(pages);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn crash_at(&self, moment: CrashAt) -> bool {
        let mut state = self.state();
        if state.armed != Some(moment) {
            return false;
        }
        state.armed = None;
        drop(state);
        self.0.record.fault(Fault::ServerCrash, format_args!("{moment:?}"));
        self.stop();
        true
    }

    /// Checks an acknowledgement against the model, and takes it in.
    fn acknowledged(&self, push: &Push, ack: &PushAck) {
        let mut state = self.state();
        let (from, head) = (push.parent.0 as usize, state.log.len());
        let Some(last) = push.events.last() else { return };
        let violation = if ack.cursor.after != last.seq {
            Some(format!("the answer to a push up to {} says {}", last.seq, ack.cursor.after))
        } else if from == head {
            state.log.extend(push.events.iter().cloned());
            let end = state.log.len();
            state.batch_ends.push(end);
            None
        } else {
            let stands = state.log.get(from..from + push.events.len());
            let is_same = stands.is_some_and(|stands| is_same(stands, &push.events));
            (!is_same).then(|| format!("a push after {from} was accepted by a log that ends at {head}"))
        };
        drop(state);
        match violation {
            Some(rule) => self.0.record.violate(rule),
            None => self.0.record.tell(format_args!("server: {}", batch(&push.events))),
        }
    }

    /// Checks a page of a pull that has come to `at`; returns where the pull is then.
    fn check_page(&self, at: GlobalSeq, page: &PullPage) -> GlobalSeq {
        let record = &self.0.record;
        record.check(page.after == at, || format!("a pull at {at} shows a page after {}", page.after));
        let state = self.state();
        let mut seq = page.after;
        for event in page.events.iter() {
            let known = (event.seq.0 as usize).checked_sub(1).and_then(|at| state.log.get(at));
            record.check(event.seq > seq, || format!("a pull at {seq} shows {} again", event.seq));
            record.check(known.is_some_and(|known| known.is_same(event)), || {
                format!("a pull shows {}, which is not what the log has", event.seq)
            });
            seq = event.seq;
        }
        page.through
    }
}

/// A batch in event notation.
pub(crate) fn batch(events: &[SyncedEvent]) -> String {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return "nothing".to_owned() };
    let who = &first.client_id;
    match events {
        [event] => format!("{} {} of {who} {}", event.seq, event.name, event.args.as_str()),
        _ => format!("{}..{} of {who}, {} events", first.seq, last.seq, events.len()),
    }
}

fn is_same(log: &[SyncedEvent], other: &[SyncedEvent]) -> bool {
    log.len() == other.len() && log.iter().zip(other).all(|(event, other)| event.is_same(other))
}

/// All events of a backend that never waits.
fn read_all(backend: &dyn SyncBackend) -> Option<Vec<SyncedEvent>> {
    let pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    let pages: Vec<_> = unconstrained(pages.collect()).now_or_never()?;
    let mut events = Vec::new();
    for page in pages {
        events.extend(page.ok()?.events.iter().cloned());
    }
    Some(events)
}

fn offline() -> livestore_traits::BoxError {
    "the server is down".into()
}

#[async_trait]
impl SyncBackend for Server {
    fn capabilities(&self) -> Capabilities {
        let backend = self.state().backend.clone();
        backend
            .map_or(Capabilities::new(livestore_traits::Durability::Memory), |backend| backend.capabilities())
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let Some(backend) = self.state().backend.clone() else { return Err(PushError::Offline(offline())) };
        let epoch = self.state().epoch;
        if let Some(index) = push.events.iter().position(|event| event.name.as_str() == Kind::Banned.name()) {
            self.0.record.fault(Fault::Rejection, batch(&push.events[index..=index]));
            let code = RejectCode::Policy("banned".to_owned());
            return Err(PushError::Rejected(Rejection { index, code, message: "not here".to_owned() }));
        }
        if self.crash_at(CrashAt::BeforePush) {
            return Err(PushError::Unacknowledged(offline()));
        }
        let answer = backend.push(push.clone()).await;
        self.0.wakes.ring();
        match &answer {
            Ok(ack) => self.acknowledged(&push, ack),
            Err(PushError::Backend { source, .. }) => {
                self.0.record.tell(format_args!("server: its storage failed: {source}"));
                let mut state = self.state();
                state.failed = true;
                state.doubt.push(push.events);
            }
            // Its text names backends, and their ids are drawn at random.
            Err(PushError::Diverged(_)) => {
                self.0
                    .record
                    .tell(format_args!("server: does not know the history of {}", batch(&push.events)));
            }
            Err(error) => {
                self.0.record.tell(format_args!("server: refuses {}: {error}", batch(&push.events)));
            }
        }
        if self.crash_at(CrashAt::AfterPush) || self.state().epoch != epoch {
            return Err(PushError::Unacknowledged(offline()));
        }
        answer
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let Some(backend) = self.state().backend.clone() else {
            return once(async { Err(PullError::Offline(offline())) }).boxed();
        };
        let at = pull.cursor.after;
        let pages = crate::broken::pages(self.0.broken, backend.pull(pull));
        let (epoch, place) = (self.state().epoch, self.0.wakes.place());
        Tail { server: self.clone(), epoch, place, pages: Some(pages), at }.boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        once(async { ConnectionStatus::Connected }).chain(futures::stream::pending()).boxed()
    }
}

/// A pull that has come to `at`.
struct Tail {
    server: Server,
    epoch: u64,
    place: Place,
    pages: Option<BoxStream<'static, Result<PullPage, PullError>>>,
    at: GlobalSeq,
}

impl Stream for Tail {
    type Item = Result<PullPage, PullError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(pages) = &mut this.pages else { return Poll::Ready(None) };
        if this.server.state().epoch != this.epoch {
            this.pages = None;
            return Poll::Ready(Some(Err(PullError::Offline(offline()))));
        }
        let page = ready!(this.place.poll(cx, |cx| pages.poll_next_unpin(cx)));
        match &page {
            Some(Ok(page)) => this.at = this.server.check_page(this.at, page),
            Some(Err(_)) | None => this.pages = None,
        }
        Poll::Ready(page)
    }
}
