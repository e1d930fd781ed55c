//! The store: one leader, and sessions on it.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use livestore_traits::{BoxStream, EventlogError, EventlogReader, LeaderLink, LinkError, SeqNum, StoreId};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::builder::{StartError, StoreBuilder};
use super::history::{HistoryFilter, HistoryItem, history};
use super::session::{Session, SessionOptions, WeakSession};
use super::status::{Presence, PresenceWatch, StatusWatch, StoreStatus};
use crate::processor::{LeaderStatus, SessionConfig, SessionProcessor, SyncActivity};
use crate::runtime::{LeaderFailure, Member, RelayLink, SessionCell, clock};

/// A client's store: its eventlog, its state, and sync with a backend.
///
/// Clones are handles of the same store. The store has a session of its own, to which it dereferences, so `commit`,
/// `query` and `changes` are called on it; more are opened by [`Store::open_session`].
///
/// Call [`Store::shutdown`] before the program ends: it waits until every commit is durable. A store that is dropped
/// instead keeps what is persisted, and loses commits whose receipt does not say so.
///
/// # Example
/// ```
/// use livestore_engine::Store;
/// use livestore_eventlog_memory::MemoryEventlog;
/// use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
/// use livestore_traits::{EventSet, TypedEvent};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Added(i64);
/// impl TypedEvent for Added {
///     const NAME: &'static str = "v1.Added";
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let schema = MemorySchema::<i64>::builder(EventSet::builder().event::<Added>().build()?)
///     .on::<Added>(|sum, Added(number), _| {
///         *sum += number;
///         Ok(())
///     })
///     .build()?;
/// let store = Store::builder("sums".parse()?)
///     .eventlog(MemoryEventlog::new())
///     .materializer(MemoryMaterializer::new(schema))
///     .start()
///     .await?;
/// let receipt = store.commit_event(&Added(40))?;
/// store.commit_event(&Added(2))?;
/// assert_eq!(store.query(|sum: &i64| *sum)?, 42);
/// receipt.persisted().await?;
/// store.shutdown(std::time::Duration::from_secs(5)).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store_id: StoreId,
    member: Arc<Member>,
    session_config: SessionConfig,
    session: Session,
    /// Other sessions, so that a shutdown reaches them.
    others: Mutex<Vec<WeakSession>>,
    /// Told to sync now.
    sync_wanted: Arc<Notify>,
    /// Tells it to the leader.
    syncing: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.syncing.abort();
    }
}

/// Why a shutdown was not clean.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Commits were not known to be durable within the time given; they may be lost.
    #[error("{pending} events were not known to be durable in time")]
    NotPersisted {
        /// How many.
        pending: usize,
    },
    /// The leader had stopped before.
    #[error("the leader had failed")]
    Failed(#[source] Arc<LeaderFailure>),
}

impl Deref for Store {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.inner.session
    }
}

impl Store {
    /// Begins to put a store together.
    pub fn builder(store_id: StoreId) -> StoreBuilder {
        StoreBuilder::new(store_id)
    }

    pub(super) async fn with_member(
        store_id: StoreId,
        member: Member,
        session_config: SessionConfig,
        options: SessionOptions,
    ) -> Result<Self, StartError> {
        let member = Arc::new(member);
        let session = open_session(&member, &session_config, options).await?;
        let others = Mutex::default();
        let sync_wanted = Arc::new(Notify::new());
        let relay = RelayLink::new(member.clone());
        let syncing = tokio::spawn(sync_when_told(relay, sync_wanted.clone())).abort_handle();
        let inner = Inner { store_id, member, session_config, session, others, sync_wanted, syncing };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store's id.
    #[must_use]
    pub fn store_id(&self) -> &StoreId {
        &self.inner.store_id
    }

    /// The store's own session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.inner.session
    }

    /// Opens another session on the same leader, with a state and pending commits of its own. A session of the same id
    /// ends, with what it has not persisted.
    ///
    /// # Errors
    /// [`StartError`] if the leader has stopped or there is no room for another state.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open_session(&self, options: SessionOptions) -> Result<Session, StartError> {
        if let Some(id) = &options.session_id {
            // Two that live would end each other's attachments in turn.
            self.sessions().iter().filter(|session| session.id() == id).for_each(Session::end);
        }
        let session = open_session(&self.inner.member, &self.inner.session_config, options).await?;
        let mut others = self.inner.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.retain(|other| match other.upgrade() {
            // Opened at the same time.
            Some(other) if other.id() == session.id() => {
                other.end();
                false
            }
            other => other.is_some(),
        });
        others.push(session.downgrade());
        drop(others);
        Ok(session)
    }

    /// The way to the leader, for sessions elsewhere: what a transport of one's own between processes serves.
    ///
    /// A leader in this process runs as long as a link is kept, unless the store is shut down.
    #[must_use]
    pub fn link(&self) -> Arc<dyn LeaderLink> {
        Arc::new(self.relay())
    }

    fn relay(&self) -> RelayLink {
        RelayLink::new(self.inner.member.clone())
    }

    /// The status now.
    #[must_use]
    pub fn store_status(&self) -> StoreStatus {
        StoreStatus {
            presence: self.presence(),
            leader: self.inner.member.status().borrow().clone(),
            session: self.inner.session.status(),
        }
    }

    /// Where the leader is now.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.watch_presence().current()
    }

    /// Follows where the leader is.
    #[must_use]
    pub fn watch_presence(&self) -> PresenceWatch {
        PresenceWatch::of(&self.inner.member)
    }

    /// Follows the leader's status.
    #[must_use]
    pub fn watch_status(&self) -> StatusWatch {
        StatusWatch { leader: self.inner.member.status() }
    }

    /// Why the store stopped, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<LeaderFailure>> {
        self.inner.member.failure()
    }

    /// Waits until the store has stopped, and returns why if it was not shut down. Its sessions have ended then.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn stopped(&self) -> Option<Arc<LeaderFailure>> {
        let failure = self.inner.member.stopped().await;
        // By themselves they find out when they next look for a leader.
        self.sessions().iter().for_each(Session::end);
        failure
    }

    /// Syncs now instead of waiting for the next poll or try.
    pub fn sync_now(&self) {
        self.inner.sync_wanted.notify_one();
    }

    /// Waits until everything committed before is confirmed and everything the backend had is here, in the state of
    /// every session. A backend without live pull is asked now.
    ///
    /// # Errors
    /// [`LinkError::Gone`] if the store stops before, [`LinkError::Refused`] if it does not sync: without a backend, or
    /// after the backend refused it for good.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn synced(&self) -> Result<LeaderStatus, LinkError> {
        let asked = self.relay().sync_now().await.map_err(|error| match error {
            // The store is closed.
            LinkError::Refused(_) => LinkError::Gone,
            error => error,
        })?;
        let mut status = self.watch_status();
        // From another process it comes on another way.
        let is_known = |leader: &LeaderStatus| (leader.term, leader.revision) >= (asked.term, asked.revision);
        status.wait_for(is_known).await.ok_or(LinkError::Gone)?;
        tokio::select! {
            biased;
            synced = self.all_synced() => synced,
            off = status.wait_for(|leader| leader.activity == SyncActivity::Off) => {
                let why = off.ok_or(LinkError::Gone)?.last_error;
                Err(LinkError::Refused(why.unwrap_or_else(|| "the store has no backend".to_owned())))
            }
        }
    }

    async fn all_synced(&self) -> Result<LeaderStatus, LinkError> {
        let mut status = self.watch_status();
        loop {
            for session in self.live_sessions() {
                // One that ends meanwhile has nothing more to wait for.
                let _ = session.wait_for(|session| session.unconfirmed_commits == 0).await;
            }
            let is_synced = |leader: &LeaderStatus| {
                leader.pending_events == 0 && leader.activity == SyncActivity::CaughtUp
            };
            let leader = status.wait_for(is_synced).await.ok_or(LinkError::Gone)?;
            for session in self.live_sessions() {
                self.has_arrived(&session, &leader).await?;
            }
            if self.live_sessions().iter().all(|session| session.status().unconfirmed_commits == 0) {
                return Ok(leader);
            }
        }
    }

    /// Waits until what the leader's log had at `then` is in the session's state: the leader has everything first. Also
    /// ends when the session does.
    pub(super) async fn has_arrived(&self, session: &Session, then: &LeaderStatus) -> Result<(), LinkError> {
        let mut status = self.watch_status();
        // What is dropped from the log never arrives; then it is enough to have what is there instead.
        let mut now = status.current();
        loop {
            // One that is not attached may be waiting for a new state, whatever heads it has taken in.
            let arrived = session.wait_for(|session| {
                let at = session.upstream_head;
                session.attached && (has_arrived(at, then) || has_arrived(at, &now))
            });
            tokio::select! {
                biased;
                _ = arrived => return Ok(()),
                leader = status.changed() => now = leader.ok_or(LinkError::Gone)?,
            }
        }
    }

    /// An independent reader of the eventlog, for exports and for the histories that were archived: however slow, it
    /// holds up no commit.
    ///
    /// # Errors
    /// [`EventlogError::Closed`] if the leader has stopped, [`EventlogError::Refused`] if another process leads.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn eventlog(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        self.inner.member.reader().await
    }

    /// The confirmed history from the eventlog, then what is settled later.
    ///
    /// # Errors
    /// [`EventlogError::Closed`] if the leader has stopped, [`EventlogError::Refused`] if another process leads.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn events(
        &self,
        filter: HistoryFilter,
    ) -> Result<BoxStream<'static, HistoryItem>, EventlogError> {
        Ok(history(self.eventlog().await?, self.inner.member.status(), filter))
    }

    /// Takes no more commits, waits until all are durable, closes log and state, and gives leadership up. Does not wait
    /// for the backend: what is not confirmed is pushed when the store is opened again.
    ///
    /// # Errors
    /// [`ShutdownError`] if commits could not be made durable within `limit`; the store is closed all the same.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the store closed to commits but running.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), ShutdownError> {
        let sessions = self.sessions();
        sessions.iter().for_each(Session::close);
        let drained = async {
            for session in &sessions {
                // A session that has ended has nothing pending that could still be saved.
                let _ = session.wait_for(|session| session.pending_events == 0).await;
            }
        };
        let _ = tokio::time::timeout(limit, drained).await;
        let lost = sessions.iter().map(|session| session.status().pending_events).sum();
        sessions.iter().for_each(Session::end);
        match self.inner.member.shut_down().await {
            Some(failure) => Err(ShutdownError::Failed(failure)),
            None if lost > 0 => Err(ShutdownError::NotPersisted { pending: lost }),
            None => Ok(()),
        }
    }

    fn sessions(&self) -> Vec<Session> {
        let others = self.inner.others.lock().unwrap_or_else(PoisonError::into_inner);
        let others = others.iter().filter_map(WeakSession::upgrade);
        std::iter::once(self.inner.session.clone()).chain(others).collect()
    }

    fn live_sessions(&self) -> Vec<Session> {
        self.sessions().into_iter().filter(|session| !session.status().ended).collect()
    }
}

/// Whether the version `at` is the head that the leader's log had, or a later one.
fn has_arrived(at: SeqNum, leader: &LeaderStatus) -> bool {
    let head = leader.local_head;
    // What the log appends is stamped with its generation; the head that a rollback left has an older one.
    at == head
        || at.generation > leader.generation
        || (at.generation == leader.generation && at.position() >= head.position())
}

/// Makes the leader sync whenever that is wanted: one wish at a time, whatever the leader does.
async fn sync_when_told(relay: RelayLink, wanted: Arc<Notify>) {
    loop {
        wanted.notified().await;
        // A leader that is gone syncs nothing.
        let _ = relay.sync_now().await;
    }
}

async fn open_session(
    member: &Arc<Member>,
    config: &SessionConfig,
    options: SessionOptions,
) -> Result<Session, StartError> {
    match try_open_session(member, config, options).await {
        // Why it stopped says more than that it did.
        Err(StartError::Leader(error)) => Err(match member.failure() {
            Some(failure) => StartError::Failed(failure),
            None => StartError::Leader(error),
        }),
        result => result,
    }
}

async fn try_open_session(
    member: &Arc<Member>,
    config: &SessionConfig,
    options: SessionOptions,
) -> Result<Session, StartError> {
    let session_id = options.session_id.unwrap_or_else(clock::new_session_id);
    let mut state = member.session_state()?;
    let link = Arc::new(RelayLink::new(member.clone()));
    let snapshot = link.snapshot(&session_id).await.map_err(StartError::Leader)?;
    let head = snapshot.snapshot.head;
    state.restore(snapshot.snapshot)?;
    let config = SessionConfig { seed: clock::new_seed(), ..config.clone() };
    let processor = SessionProcessor::new(config, session_id.clone(), clock::now(), head);
    let session = Session::start(session_id, SessionCell::new(processor, state), link, options.held);
    let gone = |_| StartError::Leader(LinkError::Gone);
    session.wait_for(|session| session.attached).await.map_err(gone)?;
    Ok(session)
}
