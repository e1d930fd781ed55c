//! The data directory of one client and store: its files, and who uses it.
//!
//! One process at a time leads a client. Another one that is about to end is waited for, a command that runs on (such as
//! `watch`) is not: people want to be told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use livestore_leader_file::FileElection;
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema};
use livestore_traits::{LeaderElection, LeaderError, Leadership, MaterializeError, StoreId};

/// How long another process is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

/// Another process uses the directory.
#[derive(Debug, thiserror::Error)]
#[error("the data directory {dir} is in use by {user}; wait until that ends, or use another --data-dir")]
struct InUse {
    dir: String,
    user: String,
}

impl DataDir {
    /// Each store has a directory of its own: its events must never be sent to another one.
    pub(crate) fn new(dir: &Path, store_id: &StoreId) -> Self {
        Self(dir.join(store_id.as_str()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The durable truth. Back it up, don't delete it.
    pub(crate) fn eventlog(&self) -> PathBuf {
        self.0.join("eventlog.redb")
    }

    /// The state, made from the eventlog.
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state.sqlite")
    }

    /// Opens the state. It only saves reading the whole eventlog at each start, so a damaged one is no loss.
    pub(crate) fn open_state(&self, schema: SqliteSchema) -> Result<SqliteMaterializer, MaterializeError> {
        let path = self.state();
        match SqliteMaterializer::open(&path, schema.clone()) {
            Err(MaterializeError::Corrupt(_)) => {
                eprintln!("note: {} was damaged and is made again from the eventlog", path.display());
                SqliteMaterializer::discard(&path)
                    .map_err(|error| MaterializeError::Storage(error.into()))?;
                SqliteMaterializer::open(&path, schema)
            }
            opened => opened,
        }
    }
}

/// Elects the process that may use the directory; gives up if another one keeps it.
#[async_trait]
impl LeaderElection for DataDir {
    async fn acquire(&self) -> Result<Box<dyn Leadership>, LeaderError> {
        let election = FileElection::new(&self.0);
        match tokio::time::timeout(PATIENCE, election.acquire()).await {
            Ok(leadership) => leadership,
            Err(_) => Err(LeaderError::Storage(Box::new(self.in_use()?))),
        }
    }

    async fn try_acquire(&self) -> Result<Option<Box<dyn Leadership>>, LeaderError> {
        FileElection::new(&self.0).try_acquire().await
    }

    fn led_by(&self) -> Result<Option<String>, LeaderError> {
        FileElection::new(&self.0).led_by()
    }
}

impl DataDir {
    fn in_use(&self) -> Result<InUse, LeaderError> {
        let user = match FileElection::holder(&self.0)? {
            Some(holder) => holder.to_string(),
            None => "another process".to_owned(),
        };
        Ok(InUse { dir: self.0.display().to_string(), user })
    }
}
