//! One window, tab or process of an application: its own state, its own pending commits.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use livestore_traits::{
    ArgsError, LeaderLink, MaterializeError, NewEvent, Quarantined, SessionId, TypedEvent,
};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::changes::{ChangeHub, Changes};
use super::receipt::Receipt;
use crate::processor::{CommitError, SessionStatus};
use crate::runtime::{SessionCell, spawn_session};

/// Options of a session that is opened on a store.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Its id; generated if it is not given. Two live sessions never share one: opening a second ends the first.
    pub session_id: Option<SessionId>,
    /// Is dropped when the session has ended, for example what reserves the id.
    pub held: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionOptions").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}

/// A session of a store. Clones are handles of the same session.
///
/// It ends with the last of them, at once: commits whose receipt does not say that they are persisted may be lost.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

/// Reaches a session without keeping it.
#[derive(Clone)]
pub(super) struct WeakSession(Weak<Inner>);

impl WeakSession {
    pub(super) fn upgrade(&self) -> Option<Session> {
        self.0.upgrade().map(|inner| Session { inner })
    }
}

struct Inner {
    session_id: SessionId,
    cell: Arc<Mutex<SessionCell>>,
    status: watch::Receiver<SessionStatus>,
    changes: Arc<ChangeHub>,
    task: AbortHandle,
    held: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

/// The session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended")]
pub struct SessionEnded;

/// Why a query could not be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The store's materializer has another kind of view.
    #[error("the state is not read through a {expected}")]
    OtherView {
        /// The type that was asked for.
        expected: &'static str,
    },
}

impl fmt::Debug for WeakSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakSession").field(&self.upgrade()).finish()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("session_id", &self.inner.session_id).finish_non_exhaustive()
    }
}

impl Session {
    /// Starts the session's task.
    pub(super) fn start(
        session_id: SessionId,
        cell: SessionCell,
        link: Arc<dyn LeaderLink>,
        held: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Self {
        let status = cell.status();
        let cell = Arc::new(Mutex::new(cell));
        let changes = Arc::new(ChangeHub::default());
        let publish = {
            let (cell, changes) = (cell.clone(), changes.clone());
            Arc::new(move || publish_changes(&cell, &changes))
        };
        let task = spawn_session(session_id.clone(), cell.clone(), link, publish).abort_handle();
        let held = Mutex::new(held);
        Self { inner: Arc::new(Inner { session_id, cell, status, changes, task, held }) }
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.inner.session_id
    }

    /// Commits events as one unit, atomically: they are applied to this session's state when this returns, and a read
    /// right after sees them. Nothing is waited for; the receipt tells when the commit is durable and when it is ordered.
    ///
    /// # Errors
    /// [`CommitError`]; then nothing was changed.
    pub fn commit(&self, events: impl IntoIterator<Item = NewEvent>) -> Result<Receipt, CommitError> {
        let events: Vec<NewEvent> = events.into_iter().collect();
        let (outcome, state) = self.lock().commit(events)?;
        publish_changes(&self.inner.cell, &self.inner.changes);
        Ok(Receipt::new(outcome.n, outcome.num, state))
    }

    /// Commits one typed event.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn commit_event<E: TypedEvent>(&self, event: &E) -> Result<Receipt, CommitError> {
        self.commit([NewEvent::from(event).map_err(|error: ArgsError| CommitError::Args(error))?])
    }

    /// Reads the session's state through the view of its materializer, own pending commits included.
    ///
    /// `query` runs on the caller's thread. The session waits for it, so `query` must not call the session: it would
    /// wait for itself.
    ///
    /// # Errors
    /// [`QueryError::OtherView`] if the materializer's view is not a `V`.
    pub fn query<V: Any, T>(&self, query: impl FnOnce(&V) -> T) -> Result<T, QueryError> {
        let cell = self.lock();
        let view = cell.state().view().downcast_ref::<V>();
        view.map(query).ok_or(QueryError::OtherView { expected: std::any::type_name::<V>() })
    }

    /// Events whose materializer failed, in order.
    ///
    /// # Errors
    /// [`MaterializeError`] if the state cannot be read.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>, MaterializeError> {
        self.lock().state().quarantined()
    }

    /// Subscribes to changes of the session's state.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.inner.changes.subscribe()
    }

    /// The session's status now.
    #[must_use]
    pub fn status(&self) -> SessionStatus {
        self.inner.status.borrow().clone()
    }

    /// Waits until the session's status meets `condition`.
    ///
    /// # Errors
    /// [`SessionEnded`] if the session ends before.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait_for(
        &self,
        condition: impl FnMut(&SessionStatus) -> bool,
    ) -> Result<SessionStatus, SessionEnded> {
        let mut status = self.inner.status.clone();
        let mut condition = condition;
        match status.wait_for(|status| status.ended || condition(status)).await {
            Ok(status) if !status.ended => Ok(status.clone()),
            _ => Err(SessionEnded),
        }
    }

    pub(super) fn downgrade(&self) -> WeakSession {
        WeakSession(Arc::downgrade(&self.inner))
    }

    /// Takes no more commits; pending ones are still pushed.
    pub(super) fn close(&self) {
        self.lock().close();
    }

    /// Ends the session.
    pub(super) fn end(&self) {
        self.inner.end();
    }

    fn lock(&self) -> MutexGuard<'_, SessionCell> {
        self.inner.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn end(&self) {
        self.task.abort();
        self.cell.lock().unwrap_or_else(PoisonError::into_inner).end();
        self.changes.end();
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

fn publish_changes(cell: &Mutex<SessionCell>, changes: &ChangeHub) {
    let (changed, ended) = {
        let mut cell = cell.lock().unwrap_or_else(PoisonError::into_inner);
        (cell.take_changed(), cell.is_ended())
    };
    changes.publish(&changed);
    if ended {
        changes.end();
    }
}
