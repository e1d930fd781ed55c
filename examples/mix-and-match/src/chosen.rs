//! Parts chosen at run time: each is a box, and everything else goes on as with concrete types.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use livestore_backend_memory::MemoryBackends;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_backend_sqlite::{SqliteBackends, SqliteConfig};
use livestore_eventlog_memory::MemoryStorage;
use livestore_eventlog_redb::RedbEventlog;
use livestore_eventlog_sqlite::SqliteEventlog;
use livestore_leader_file::FileElection;
use livestore_leader_memory::MemoryElection;
use livestore_materializer_memory::MemoryMaterializer;
use livestore_materializer_sqlite::SqliteMaterializer;
use livestore_server::Server;
use livestore_traits::{
    BackendProvider, BoxError, Eventlog, EventlogError, LeaderElection, MaterializeError, Materializer,
    StoreId, SyncBackend,
};
use livestore_transport_http::{Encoding, HttpBackend, HttpConfig};
use livestore_transport_memory::Network;
use livestore_transport_ws::{WsBackend, WsConfig};
use tempfile::TempDir;

use crate::choice::{BackendChoice, Choice, ElectionChoice, EventlogChoice, StateChoice, TransportChoice};
use crate::notes;
use crate::story::{Client, Clients, start};

/// Clients of the chosen parts, and the backend between them.
#[derive(Debug)]
pub struct Chosen {
    choice: Choice,
    store_id: StoreId,
    backends: Arc<dyn BackendProvider>,
    transport: Transport,
    /// What takes the place of files, by client.
    memory: HashMap<&'static str, (MemoryStorage, MemoryElection)>,
    /// Removed last.
    dir: TempDir,
}

/// What there is once for all clients.
#[derive(Debug)]
enum Transport {
    None,
    Memory(Network),
    Ws(Server),
    Http(Server, Encoding),
}

type OpenEventlog = Box<dyn FnMut() -> Result<Box<dyn Eventlog>, EventlogError> + Send>;
type OpenState = Box<dyn FnMut() -> Result<Box<dyn Materializer>, MaterializeError> + Send>;

impl Chosen {
    /// Starts the backend, and a server before it if the transport needs one.
    ///
    /// # Errors
    /// What a part says that cannot be started.
    pub async fn new(choice: Choice) -> Result<Self, BoxError> {
        let dir = tempfile::tempdir()?;
        let backends: Arc<dyn BackendProvider> = match choice.backend {
            BackendChoice::Memory => Arc::new(MemoryBackends::new()),
            BackendChoice::Redb => Arc::new(RedbBackends::open(dir.path(), RedbConfig::default())?),
            BackendChoice::Sqlite => Arc::new(SqliteBackends::open(dir.path(), SqliteConfig::default())?),
        };
        let serve = || Server::builder(Arc::clone(&backends)).bind("127.0.0.1:0");
        let transport = match choice.transport {
            TransportChoice::None => Transport::None,
            TransportChoice::Memory => Transport::Memory(Network::new(0)),
            TransportChoice::Ws => Transport::Ws(serve().await?),
            TransportChoice::HttpJson => Transport::Http(serve().await?, Encoding::Json),
            TransportChoice::HttpPostcard => Transport::Http(serve().await?, Encoding::Postcard),
        };
        let memory = ["alice", "bob"].map(|name| (name, (MemoryStorage::default(), MemoryElection::new())));
        Ok(Self { choice, store_id: StoreId::new("notes")?, backends, transport, memory: memory.into(), dir })
    }

    async fn upstream(&self, name: &str) -> Result<Arc<dyn SyncBackend>, BoxError> {
        let store_id = self.store_id.clone();
        Ok(match &self.transport {
            Transport::None => self.backends.open(&store_id).await?,
            Transport::Memory(network) => {
                Arc::new(network.connect(self.backends.open(&store_id).await?, name))
            }
            Transport::Ws(server) => {
                let url = format!("ws://{}", server.local_addr());
                Arc::new(WsBackend::new(WsConfig::new(&url, store_id)?))
            }
            Transport::Http(server, encoding) => {
                let mut config = HttpConfig::new(&format!("http://{}", server.local_addr()), store_id)?;
                config.encoding = *encoding;
                Arc::new(HttpBackend::new(config))
            }
        })
    }

    fn eventlog(&self, name: &str) -> OpenEventlog {
        let path = self.path(name, "eventlog");
        match self.choice.eventlog {
            EventlogChoice::Memory => {
                let storage = self.memory[name].0.clone();
                Box::new(move || Ok(Box::new(storage.open())))
            }
            EventlogChoice::Redb => Box::new(move || Ok(Box::new(RedbEventlog::open(&path)?))),
            EventlogChoice::Sqlite => Box::new(move || Ok(Box::new(SqliteEventlog::open(&path)?))),
        }
    }

    fn state(&self, name: &str) -> Result<OpenState, BoxError> {
        let path = self.path(name, "state");
        Ok(match self.choice.state {
            StateChoice::Memory => {
                let schema = notes::memory_schema()?;
                Box::new(move || Ok(Box::new(MemoryMaterializer::new(schema.clone()))))
            }
            StateChoice::SqliteMemory => {
                let schema = notes::sqlite_schema()?;
                Box::new(move || Ok(Box::new(SqliteMaterializer::in_memory(schema.clone())?)))
            }
            StateChoice::SqliteFile => {
                let schema = notes::sqlite_schema()?;
                Box::new(move || Ok(Box::new(SqliteMaterializer::open(&path, schema.clone())?)))
            }
        })
    }

    fn election(&self, name: &str) -> Option<Box<dyn LeaderElection>> {
        match self.choice.election {
            ElectionChoice::None => None,
            ElectionChoice::Memory => Some(Box::new(self.memory[name].1.clone())),
            ElectionChoice::File => Some(Box::new(FileElection::new(self.dir.path().join(name)))),
        }
    }

    fn path(&self, name: &str, file: &str) -> PathBuf {
        self.dir.path().join(name).join(file)
    }
}

impl Clients for Chosen {
    async fn start(&self, name: &'static str) -> Result<Client, BoxError> {
        std::fs::create_dir_all(self.dir.path().join(name))?;
        let upstream = self.upstream(name).await?;
        let (eventlog, state, election) = (self.eventlog(name), self.state(name)?, self.election(name));
        let store = start(self.store_id.clone(), eventlog, state, upstream, election).await?;
        let read = match self.choice.state {
            StateChoice::Memory => notes::read_memory,
            StateChoice::SqliteMemory | StateChoice::SqliteFile => notes::read_sqlite,
        };
        Ok(Client { store, read })
    }
}
