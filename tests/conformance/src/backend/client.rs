//! What the cases share: a client that pushes, reads and checks what every page must keep.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use livestore_traits::{
    BackendId, BoxStream, Capabilities, ClientId, ClientSecret, Cursor, GlobalSeq, Pull, PullError, PullMode,
    PullPage, Push, PushAck, PushError, SyncBackend, SyncedEvent,
};

use super::{BackendFixture, Carries, sample_event};

/// How often a follower asks a backend that has no live pull.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// One client of a store.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) backend: Arc<dyn SyncBackend>,
    pub(super) backend_id: BackendId,
    pub(super) carries: Carries,
    id: ClientId,
}

impl Client {
    /// The first client of a new store.
    pub(super) async fn of_new_store<F: BackendFixture>(fixture: &F) -> (F::Store, Self) {
        let store = fixture.create().await;
        let client = Self::connect(fixture, &store, "client").await;
        (store, client)
    }

    pub(super) async fn connect<F: BackendFixture>(fixture: &F, store: &F::Store, id: &str) -> Self {
        let backend = fixture.connect(store).await;
        let page = pages(&*backend, Pull::new(None, Cursor::start(), PullMode::Once)).await.remove(0);
        let id = ClientId::new(id).unwrap();
        Self { backend, backend_id: page.backend_id, carries: fixture.carries(), id }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    /// `count` events after `parent`, each a unit.
    pub(super) fn events(&self, parent: GlobalSeq, count: usize) -> Vec<SyncedEvent> {
        let event =
            |index: usize| self.event(GlobalSeq(parent.0 + index as u64), &format!("{{\"nr\":{index}}}"));
        (0..count).map(event).collect()
    }

    /// One event after `parent`.
    pub(super) fn event(&self, parent: GlobalSeq, args: &str) -> SyncedEvent {
        self.as_carried(sample_event(self.id.as_str(), parent, args))
    }

    /// An event as it comes back.
    pub(super) fn as_carried(&self, event: SyncedEvent) -> SyncedEvent {
        match self.carries.commits {
            true => event,
            false => SyncedEvent { commit: None, unit_end: true, ..event },
        }
    }

    /// One event after `parent` that has `bytes` bytes, as limits count them.
    pub(super) fn event_of(&self, parent: GlobalSeq, bytes: usize) -> SyncedEvent {
        let empty = self.event(parent, "\"\"").encoded_len();
        let event = self.event(parent, &format!("\"{}\"", "x".repeat(bytes - empty)));
        assert_eq!(event.encoded_len(), bytes);
        event
    }

    pub(super) async fn push(&self, events: Vec<SyncedEvent>) -> Result<PushAck, PushError> {
        self.push_as(None, events).await
    }

    pub(super) async fn push_as(
        &self,
        proof: Option<ClientSecret>,
        events: Vec<SyncedEvent>,
    ) -> Result<PushAck, PushError> {
        let parent = events.first().map_or(GlobalSeq::ROOT, |first| first.parent);
        self.backend.push(Push::new(Some(self.backend_id.clone()), parent, proof, events)).await
    }

    /// Pushes `count` events after `parent`, in batches as large as allowed.
    pub(super) async fn fill(&self, parent: GlobalSeq, count: usize) -> Vec<SyncedEvent> {
        let events = self.events(parent, count);
        for batch in events.chunks(self.capabilities().limits.max_batch_events) {
            let ack = self.push(batch.to_vec()).await.unwrap();
            assert_eq!(ack.cursor.after, batch.last().unwrap().seq);
        }
        events
    }

    pub(super) fn pull(
        &self,
        cursor: Cursor,
        mode: PullMode,
    ) -> BoxStream<'static, Result<PullPage, PullError>> {
        self.backend.pull(Pull::new(Some(self.backend_id.clone()), cursor, mode))
    }

    /// The error that a pull from `cursor` ends with at once.
    pub(super) async fn pull_error(&self, cursor: Cursor) -> PullError {
        pull_error(&*self.backend, Pull::new(Some(self.backend_id.clone()), cursor, PullMode::Once)).await
    }

    /// All pages after `cursor`, checked.
    pub(super) async fn pages(&self, cursor: Cursor) -> Vec<PullPage> {
        pages(&*self.backend, Pull::new(Some(self.backend_id.clone()), cursor, PullMode::Once)).await
    }

    /// All events of the log, checked.
    pub(super) async fn log(&self) -> Vec<SyncedEvent> {
        events_of(&self.pages(Cursor::start()).await)
    }

    /// Follows the log from `cursor` on: live if the backend can, else by polling.
    pub(super) fn follow(&self, cursor: Cursor) -> Follower {
        let live = self.capabilities().live_pull.then(|| self.pull(cursor.clone(), PullMode::Live));
        Follower { client: self.clone(), cursor, live }
    }
}

/// Reads what comes after a cursor, for ever.
pub(super) struct Follower {
    client: Client,
    pub(super) cursor: Cursor,
    live: Option<BoxStream<'static, Result<PullPage, PullError>>>,
}

impl Follower {
    /// The next page that has events. Checks that it follows the one before.
    pub(super) async fn next(&mut self) -> PullPage {
        loop {
            let page = match &mut self.live {
                Some(live) => live.next().await.expect("a live pull never ends by itself").unwrap(),
                None => {
                    let mut once = self.client.pull(self.cursor.clone(), PullMode::Once);
                    once.next().await.expect("a pull has a first page").unwrap()
                }
            };
            check_page(&page, self.cursor.after);
            self.cursor = page.cursor.clone();
            if !page.events.is_empty() {
                return page;
            }
            if self.live.is_none() {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    }

    /// The events up to `seq`.
    pub(super) async fn read_to(&mut self, seq: GlobalSeq) -> Vec<SyncedEvent> {
        let mut events = Vec::new();
        while self.cursor.after < seq {
            events.extend(self.next().await.events.iter().cloned());
        }
        events
    }
}

/// All pages of a pull that ends, checked.
pub(super) async fn pages(backend: &dyn SyncBackend, pull: Pull) -> Vec<PullPage> {
    let mut after = pull.cursor.after;
    let mut pages = Vec::new();
    let mut stream = backend.pull(pull);
    while let Some(page) = stream.next().await {
        let page = page.unwrap();
        check_page(&page, after);
        after = page.through;
        pages.push(page);
    }
    assert!(!pages.is_empty(), "a pull has a first page, even if it is empty");
    assert!(
        pages[1..].iter().all(|page| !page.events.is_empty()),
        "only the first page of a pull that ends may be empty"
    );
    pages
}

/// The error of a pull; checks that nothing comes before or after it.
pub(super) async fn pull_error(backend: &dyn SyncBackend, pull: Pull) -> PullError {
    let mut stream = backend.pull(pull);
    let error = stream.next().await.expect("a pull says something").expect_err("this pull must fail");
    assert!(stream.next().await.is_none(), "after an error the stream ends");
    error
}

/// What every page keeps: it follows `after`, its events are one chain, and its cursor stands at its end.
fn check_page(page: &PullPage, after: GlobalSeq) {
    assert_eq!(page.after, after, "a page follows the one before, or the cursor");
    let mut parent = after;
    for event in page.events.iter() {
        assert_eq!((event.parent, event.seq), (parent, parent.next()), "the events of a page are one chain");
        assert!(event.created_at.is_some(), "accepted events have a time");
        parent = event.seq;
    }
    assert_eq!((page.through, page.cursor.after), (parent, parent), "a page ends where its events end");
}

pub(super) fn events_of(pages: &[PullPage]) -> Vec<SyncedEvent> {
    pages.iter().flat_map(|page| page.events.iter().cloned()).collect()
}

/// The events as they were before the backend stamped them.
pub(super) fn unstamped(events: &[SyncedEvent]) -> Vec<SyncedEvent> {
    events.iter().map(|event| SyncedEvent { created_at: None, ..event.clone() }).collect()
}
