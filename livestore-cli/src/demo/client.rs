//! A client of the demo: an engine store with everything on disk, at the end of a cable.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use livestore_engine::Store;
use livestore_eventlog_redb::RedbEventlog;
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteView};
use livestore_traits::{BoxError, ClientId, StoreId};
use livestore_transport_ws::{WsBackend, WsConfig};

use super::app::{self, Item};
use super::cable::Cable;

/// Somebody with a device.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) store: Store,
    pub(super) cable: Cable,
    pub(super) files: Files,
}

/// Where a client keeps its data.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) eventlog: PathBuf,
    pub(super) database: PathBuf,
}

impl Client {
    pub(super) async fn start(
        name: &'static str,
        store_id: StoreId,
        server: SocketAddr,
        dir: &Path,
    ) -> Result<Self, BoxError> {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir)?;
        let files = Files { eventlog: dir.join("eventlog.redb"), database: dir.join("state.sqlite") };
        let cable = Cable::new(server).await?;
        let ws = WsConfig::new(&format!("ws://{}", cable.addr()), store_id.clone())?;
        let store = Store::builder(store_id)
            .eventlog(RedbEventlog::open(&files.eventlog)?)
            .materializer(SqliteMaterializer::open(&files.database, app::schema()?)?)
            .upstream(WsBackend::new(ws))
            .start()
            .await?;
        Ok(Self { name, store, cable, files })
    }

    pub(super) fn id(&self) -> ClientId {
        self.store.store_status().leader.client_id
    }

    /// What an application of this client shows now: also what is not confirmed.
    pub(super) async fn items(&self) -> Result<Vec<Item>, BoxError> {
        // The session follows the leader: wait until it has what the leader has told to have.
        let head = self.store.store_status().leader.local_head.position();
        self.store.wait_for(|session| session.local_head.position() >= head).await?;
        Ok(self.store.query(app::items)??)
    }

    /// Closes log and database; gives back where they are.
    pub(super) async fn close(self, limit: Duration) -> Result<Files, BoxError> {
        self.store.shutdown(limit).await?;
        Ok(self.files)
    }
}

/// Reads the list from a database that nobody has open.
pub(super) fn read_database(files: &Files) -> Result<Vec<Item>, BoxError> {
    use livestore_traits::Materializer as _;

    let database = SqliteMaterializer::open(&files.database, app::schema()?)?;
    let view = database.view().downcast_ref::<SqliteView>().ok_or("the database has no view")?;
    Ok(app::items(view)?)
}
