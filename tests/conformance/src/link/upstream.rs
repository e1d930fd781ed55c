//! A backend that a case controls: it can be cut off, refuse events, and be written to by others.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use livestore_traits::{
    Args, BackendId, BoxStream, Capabilities, ClientId, ConnectionStatus, Cursor, Durability, EventName,
    GlobalSeq, PageInfo, Pull, PullError, PullMode, PullPage, Push, PushAck, PushError, RejectCode,
    Rejection, SessionId, SyncBackend, SyncedEvent, UnixMillis,
};
use tokio::sync::watch;

/// Args of events that are refused for good.
pub(super) const FORBIDDEN: &str = "forbidden";

/// A backend in memory, shared by its clones.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    events: Vec<SyncedEvent>,
    cut_off: bool,
    /// Events of this client id are refused, as if somebody else owned it.
    taken: Option<ClientId>,
}

impl State {
    fn head(&self) -> GlobalSeq {
        self.events.last().map_or(GlobalSeq::ROOT, |event| event.seq)
    }

    fn page(&self, after: GlobalSeq) -> PullPage {
        let first = self.events.partition_point(|event| event.seq <= after);
        PullPage::new(after, self.events[first..].into(), None, backend_id(), PageInfo::CaughtUp)
    }
}

impl Upstream {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Takes no pushes and answers no new pulls from now on.
    pub(super) fn cut_off(&self) {
        self.0.send_modify(|state| state.cut_off = true);
    }

    /// Can be reached again.
    pub(super) fn reconnect(&self) {
        self.0.send_modify(|state| state.cut_off = false);
    }

    /// Lets the client id belong to somebody else.
    pub(super) fn take_client_id(&self, client_id: &ClientId) {
        self.0.send_modify(|state| state.taken = Some(client_id.clone()));
    }

    /// Appends an event of another client.
    pub(super) fn write(&self, text: &str) {
        self.0.send_modify(|state| {
            let parent = state.head();
            state.events.push(SyncedEvent {
                seq: parent.next(),
                parent,
                name: EventName::new("v1.Noted").expect("the name is valid"),
                args: Args::from_value(text).expect("text is JSON"),
                client_id: ClientId::new("others").expect("the id is valid"),
                session_id: SessionId::new("others").expect("the id is valid"),
                commit: None,
                unit_end: true,
                created_at: None,
            });
        });
    }

    /// What stands in it, as text.
    pub(super) fn texts(&self) -> Vec<String> {
        self.0.borrow().events.iter().map(|event| event.args.to_value().expect("args are a text")).collect()
    }
}

fn backend_id() -> BackendId {
    BackendId::new("upstream").expect("the id is valid")
}

#[async_trait]
impl SyncBackend for Upstream {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Memory)
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let mut answer = None;
        self.0.send_modify(|state| answer = Some(admit(state, &push)));
        answer.expect("the closure ran")?;
        let cursor = Cursor { after: push.events.last().map_or(push.parent, |event| event.seq), token: None };
        Ok(PushAck::new(backend_id(), cursor, UnixMillis(0)))
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        if self.0.borrow().cut_off {
            return futures::stream::iter([Err(PullError::Offline("cut off".into()))]).boxed();
        }
        let start = (self.0.subscribe(), pull.cursor.after, true);
        let pages = futures::stream::unfold(start, |(mut state, after, is_first)| async move {
            let page = {
                // Live pulls stand still while it is cut off.
                let news = |state: &State| is_first || (!state.cut_off && state.head() > after);
                state.wait_for(news).await.ok()?.page(after)
            };
            let through = page.through;
            Some((Ok(page), (state, through, false)))
        });
        match pull.mode {
            PullMode::Live => pages.boxed(),
            PullMode::Once => pages.take(1).boxed(),
        }
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        futures::stream::iter([ConnectionStatus::Connected]).chain(futures::stream::pending()).boxed()
    }
}

fn admit(state: &mut State, push: &Push) -> Result<(), PushError> {
    if state.cut_off {
        return Err(PushError::Offline("cut off".into()));
    }
    if push.events.iter().any(|event| Some(&event.client_id) == state.taken.as_ref()) {
        return Err(PushError::ClientIdTaken);
    }
    let forbidden = Args::from_value(FORBIDDEN).expect("text is JSON");
    if let Some(index) = push.events.iter().position(|event| event.args == forbidden) {
        let message = "it is forbidden".to_owned();
        return Err(PushError::Rejected(Rejection { index, code: RejectCode::Forbidden, message }));
    }
    if push.parent != state.head() {
        return Err(PushError::UpstreamAhead { head: state.head(), missing: None });
    }
    state.events.extend(push.events.iter().cloned());
    Ok(())
}
