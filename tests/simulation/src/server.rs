//! The server: a backend that can crash, be reset and be restored, under a model that checks what it says.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{once, unfold};
use livestore_traits::{
    BoxStream, Capabilities, ConnectionStatus, GlobalSeq, Pull, PullError, PullPage, Push, PushAck,
    PushError, RejectCode, Rejection, SyncBackend, SyncedEvent,
};
use tokio::sync::watch;

use crate::app::Kind;
use crate::broken::Broken;
use crate::faults::Fault;
use crate::record::Record;

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
    /// Rises when all connections end.
    epoch: watch::Sender<u64>,
}

struct State {
    /// None while the server is down.
    backend: Option<Arc<dyn SyncBackend>>,
    /// What the log must be.
    log: Vec<SyncedEvent>,
    /// The lengths that the log had after each batch.
    batch_ends: Vec<usize>,
    armed: Option<CrashAt>,
    dead_subscribers: Vec<BoxStream<'static, Result<PullPage, PullError>>>,
}

impl Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn new(backend: Arc<dyn SyncBackend>, record: Record, broken: Option<Broken>) -> Self {
        let state = State {
            backend: Some(backend),
            log: Vec::new(),
            batch_ends: Vec::new(),
            armed: None,
            dead_subscribers: Vec::new(),
        };
        Self(Arc::new(Shared { record, broken, state: Mutex::new(state), epoch: watch::Sender::new(0) }))
    }

    /// All connections end, and nothing is answered until [`Self::start`].
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.backend = None;
        state.dead_subscribers.clear();
        drop(state);
        self.0.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Answers again, from `backend`.
    pub(crate) fn start(&self, backend: Arc<dyn SyncBackend>) {
        self.state().backend = Some(backend);
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
        state.batch_ends.retain(|end| *end <= len);
    }

    /// Somebody subscribes, reads a little, and never again.
    pub(crate) async fn subscribe_dead(&self) {
        let mut pages =
            self.pull(Pull::new(None, livestore_traits::Cursor::start(), livestore_traits::PullMode::Live));
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
            let is_same = stands.is_some_and(|stands| {
                stands.iter().zip(&push.events).all(|(stands, event)| stands.is_same(event))
            });
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
        let epoch = *self.0.epoch.borrow();
        if let Some(index) = push.events.iter().position(|event| event.name.as_str() == Kind::Banned.name()) {
            self.0.record.fault(Fault::Rejection, batch(&push.events[index..=index]));
            let code = RejectCode::Policy("banned".to_owned());
            return Err(PushError::Rejected(Rejection { index, code, message: "not here".to_owned() }));
        }
        if self.crash_at(CrashAt::BeforePush) {
            return Err(PushError::Unacknowledged(offline()));
        }
        let answer = backend.push(push.clone()).await;
        if let Ok(ack) = &answer {
            self.acknowledged(&push, ack);
        }
        if self.crash_at(CrashAt::AfterPush) || *self.0.epoch.borrow() != epoch {
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
        let (server, epochs) = (self.clone(), self.0.epoch.subscribe());
        unfold(Some((server, pages, epochs, at)), next_page).boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        once(async { ConnectionStatus::Connected }).chain(futures::stream::pending()).boxed()
    }
}

type Pages = BoxStream<'static, Result<PullPage, PullError>>;
type Following = (Server, Pages, watch::Receiver<u64>, GlobalSeq);

/// The next page, or the end of the connection.
async fn next_page(following: Option<Following>) -> Option<(Result<PullPage, PullError>, Option<Following>)> {
    let (server, mut pages, mut epochs, at) = following?;
    let page = tokio::select! {
        biased;
        _ = epochs.changed() => return Some((Err(PullError::Offline(offline())), None)),
        page = pages.next() => page?,
    };
    match page {
        Ok(page) => {
            let at = server.check_page(at, &page);
            Some((Ok(page), Some((server, pages, epochs, at))))
        }
        Err(error) => Some((Err(error), None)),
    }
}
