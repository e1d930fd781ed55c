//! Parts chosen when the program is written: concrete types all the way, and no flags.

use livestore_backend_memory::MemoryBackend;
use livestore_eventlog_redb::RedbEventlog;
use livestore_leader_file::FileElection;
use livestore_materializer_sqlite::SqliteMaterializer;
use livestore_traits::{BoxError, StoreId};
use tempfile::TempDir;

use crate::notes;
use crate::story::{Client, Clients, start};

/// Clients on redb and SQLite, with a backend in the same process.
#[derive(Debug)]
pub struct Concrete {
    backend: MemoryBackend,
    dir: TempDir,
}

impl Concrete {
    /// An empty backend, and no clients yet.
    ///
    /// # Errors
    /// If there is no place for their files.
    pub fn new() -> Result<Self, BoxError> {
        Ok(Self { backend: MemoryBackend::new(), dir: tempfile::tempdir()? })
    }
}

impl Clients for Concrete {
    async fn start(&self, name: &'static str) -> Result<Client, BoxError> {
        let dir = self.dir.path().join(name);
        let schema = notes::sqlite_schema()?;
        let (eventlog, state) = (dir.join("eventlog.redb"), dir.join("state.sqlite"));
        let store = start(
            StoreId::new("notes")?,
            move || RedbEventlog::open(&eventlog),
            move || SqliteMaterializer::open(&state, schema.clone()),
            self.backend.clone(),
            Some(FileElection::new(dir)),
        );
        Ok(Client { store: store.await?, read: notes::read_sqlite })
    }
}
