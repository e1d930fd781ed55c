//! One client: a log, and the stores that share it.

use std::sync::Arc;
use std::time::Duration;

use livestore_engine::{Session, SessionOptions, StartError, Store, StoreBuilder};
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{impatient, schema};
use livestore_leader_memory::{MemoryElection, MemoryRendezvous};
use livestore_traits::{SessionId, StoreId, SyncBackend};
use tokio::task::JoinHandle;

use crate::rigged::Rig;

/// Longer than anything takes: reaching it is a hang.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A client that several stores share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) storage: MemoryStorage,
    pub(crate) election: MemoryElection,
    pub(crate) rendezvous: MemoryRendezvous,
    pub(crate) rig: Arc<Rig>,
}

impl Client {
    /// One whose leaders lose leadership when they are stalled.
    pub(crate) fn with_lease() -> Self {
        Self { election: MemoryElection::with_lease(Duration::from_millis(1)), ..Self::default() }
    }

    /// One more store on the log.
    pub(crate) fn builder(&self) -> StoreBuilder {
        let (rig, storage) = (self.rig.clone(), self.storage.clone());
        Store::builder(StoreId::new("notebook").unwrap())
            .config(impatient())
            .election(self.election.clone())
            .rendezvous(self.rendezvous.clone())
            .open_eventlog(move || rig.open(&storage))
            .states(schema())
    }

    /// One more store, that syncs with `backend`.
    pub(crate) async fn join(
        &self,
        backend: impl SyncBackend,
        session_id: Option<SessionId>,
    ) -> Result<Store, StartError> {
        self.builder().upstream(backend).session(options(session_id)).start().await
    }
}

/// A session of this id.
pub(crate) fn options(session_id: Option<SessionId>) -> SessionOptions {
    let mut options = SessionOptions::default();
    options.session_id = session_id;
    options
}

/// Follows a store's status until the store is over. Within a term its revision never falls, nor does the term.
pub(crate) fn watch(store: &Store) -> JoinHandle<()> {
    let mut status = store.watch_status();
    tokio::spawn(async move {
        let mut last = status.current();
        while let Some(next) = status.changed().await {
            let (before, after) = ((last.term, last.revision), (next.term, next.revision));
            assert!(before <= after, "the status fell from {before:?} to {after:?}");
            last = next;
        }
    })
}

/// A store and the sessions that were opened on it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) store: Store,
    /// What its way to the backend is called.
    pub(crate) link: String,
    /// Those that live, its own first, each with its account.
    pub(crate) sessions: Vec<(Session, usize)>,
    pub(crate) watch: JoinHandle<()>,
}
