//! One data directory, as the leader's place and as the way there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use livestore_traits::{LeaderLink, LinkError, OpenRendezvous, Rendezvous};
use tokio::task::AbortHandle;

use crate::address::{Address, Secret};
use crate::client::RemoteLink;
use crate::server::Server;
use crate::{LEAST_FRAME_BYTES, LocalConfig, LocalError, socket};

/// Where the processes that use one data directory meet.
#[derive(Clone, Debug)]
pub struct LocalRendezvous {
    dir: Arc<Path>,
    config: Arc<LocalConfig>,
}

impl LocalRendezvous {
    /// The rendezvous in the directory `dir`, which is made when it is opened if it is not there.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, mut config: LocalConfig) -> Self {
        config.max_frame_bytes = config.max_frame_bytes.max(LEAST_FRAME_BYTES);
        Self { dir: dir.into().into(), config: Arc::new(config) }
    }
}

impl LocalRendezvous {
    async fn try_open(&self, link: Arc<dyn LeaderLink>) -> Result<Open, LocalError> {
        std::fs::create_dir_all(&self.dir).map_err(LocalError::file("make the directory", &self.dir))?;
        let (listener, place) = socket::listen(&self.dir, self.config.medium).await?;
        let secret = Secret::random();
        let server = Server::new(link, self.config.clone(), secret.clone());
        // From here on others find it, so nothing may fail after it.
        Address { place, secret }.store(&self.dir)?;
        Ok(Open(tokio::spawn(server.run(listener)).abort_handle()))
    }
}

#[async_trait]
impl Rendezvous for LocalRendezvous {
    async fn open(&self, link: Arc<dyn LeaderLink>) -> Result<Box<dyn OpenRendezvous>, LinkError> {
        // Whatever is wrong here is wrong with the place; nobody is there to be gone or to refuse.
        let open = self.try_open(link).await.map_err(|error| LinkError::Link(error.into()))?;
        Ok(Box::new(open))
    }

    fn connect(&self) -> Arc<dyn LeaderLink> {
        Arc::new(RemoteLink::new(self.dir.clone(), self.config.clone()))
    }
}

/// Ends the server with all its connections when it is dropped.
#[derive(Debug)]
struct Open(AbortHandle);

impl OpenRendezvous for Open {}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}
