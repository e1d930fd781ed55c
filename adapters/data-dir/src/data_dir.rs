//! Where things are, and how they are put together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use livestore_engine::{SessionOptions, Store, StoreBuilder, StoreConfig};
use livestore_eventlog_redb::RedbEventlog;
use livestore_leader_file::FileElection;
use livestore_materializer_sqlite::{SqliteSchema, SqliteStates};
use livestore_traits::{SessionId, StoreId};
use livestore_transport_local::{LocalConfig, LocalRendezvous};

use crate::session_lock::{self, SessionError};

/// How long starting waits for a leader in another process that does not answer, unless the builder is told otherwise. It
/// may be replaying a long log, so this is not short.
const LEADER_LIMIT: Duration = Duration::from_secs(60);

/// The directory of one client and store.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
    store_id: StoreId,
}

impl DataDir {
    /// The client in `dir`, for the store `store_id`, which has a directory of its own in there: its events must never get
    /// to another one. Nothing is touched yet.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>, store_id: StoreId) -> Self {
        Self { path: dir.as_ref().join(store_id.as_str()), store_id }
    }

    /// The store's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The durable truth. Back it up, do not delete it.
    #[must_use]
    pub fn eventlog(&self) -> PathBuf {
        self.path.join("eventlog.redb")
    }

    /// The state, made from the eventlog.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path.join("state.sqlite")
    }

    /// A store on what is here, with the states of its sessions in memory. Give it an upstream if it is to sync, and
    /// start it: it leads if nobody else does, and follows otherwise.
    ///
    /// All processes that share the directory need the same tables and events; one with others is told so when it starts.
    /// Each may have an upstream; the one that leads uses its own.
    pub fn store(&self, schema: SqliteSchema) -> StoreBuilder {
        let mut meeting = LocalConfig::new(self.store_id.clone());
        meeting.definitions = Some(schema.fingerprint().into());
        let mut config = StoreConfig::default();
        config.leader_limit = Some(LEADER_LIMIT);
        let eventlog = self.eventlog();
        Store::builder(self.store_id.clone())
            .config(config)
            .election(FileElection::new(&self.path))
            .rendezvous(LocalRendezvous::new(&self.path, meeting))
            .open_eventlog(move || RedbEventlog::open(&eventlog))
            .states(SqliteStates::new(self.state(), schema))
    }

    /// A session that is called `id` each time, so that what belongs to it is found again after a restart. If a live
    /// session has the id already, for example that of a window that was cloned, this one gets a new id.
    ///
    /// # Errors
    /// [`SessionError`] if the directory cannot be written.
    pub fn session(&self, id: SessionId) -> Result<SessionOptions, SessionError> {
        session_lock::reserve(&self.path.join("sessions"), id)
    }
}
