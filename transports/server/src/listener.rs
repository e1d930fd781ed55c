//! The server's own listener.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use livestore_traits::BackendProvider;
use tokio::net::{TcpListener, ToSocketAddrs};

use crate::access::Guard;
use crate::authorizer::{AllowAll, Authorizer};
use crate::connection::Connection;
use crate::cors::Cors;
use crate::lifecycle::{Phase, Running};
use crate::limits::ServerLimits;
use crate::service::SyncService;

/// How long accepting pauses after it failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Prepares a server.
pub struct ServerBuilder {
    provider: Box<dyn BackendProvider>,
    limits: ServerLimits,
    authorizer: Box<dyn Authorizer>,
    has_public_history: bool,
    cors: Cors,
}

impl ServerBuilder {
    /// Replaces the bounds.
    #[must_use]
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks `authorizer` who may do what. By default everybody may do everything.
    #[must_use]
    pub fn authorizer(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Box::new(authorizer);
        self
    }

    /// Lets shared caches keep pages of history, because anybody may read every store. What they hold is given out without
    /// asking the authorizer.
    #[must_use]
    pub const fn public_history(mut self, is_public: bool) -> Self {
        self.has_public_history = is_public;
        self
    }

    /// Lets web pages of other origins use the server over HTTP.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = cors;
        self
    }

    /// The server as a service, to be mounted into another one.
    #[must_use]
    pub fn into_service(self) -> SyncService {
        let guard = Guard::new(self.authorizer, self.limits.authorize_timeout);
        SyncService::new(self.provider, self.limits, guard, self.has_public_history, self.cors)
    }

    /// Listens on `addr` and serves.
    ///
    /// # Errors
    /// What the operating system says, for example that the port is in use.
    pub async fn bind(self, addr: impl ToSocketAddrs) -> io::Result<Server> {
        self.listen(TcpListener::bind(addr).await?)
    }

    /// Serves on a listener that exists, for example one that a service manager made or that outlives the server.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn listen(self, listener: TcpListener) -> io::Result<Server> {
        let local_addr = listener.local_addr()?;
        let service = self.into_service();
        let running = service.shared.lifecycle.enter();
        tokio::spawn(accept(running, listener, service.clone()));
        Ok(Server { service, local_addr })
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("provider", &self.provider)
            .field("limits", &self.limits)
            .field("has_public_history", &self.has_public_history)
            .field("cors", &self.cors)
            .finish_non_exhaustive()
    }
}

/// A server that listens. Dropping it stops it without draining.
#[derive(Debug)]
pub struct Server {
    service: SyncService,
    local_addr: SocketAddr,
}

impl Server {
    /// Prepares a server for the stores of `provider`.
    #[must_use]
    pub fn builder(provider: impl BackendProvider) -> ServerBuilder {
        ServerBuilder {
            provider: Box::new(provider),
            limits: ServerLimits::DEFAULT,
            authorizer: Box::new(AllowAll),
            has_public_history: false,
            cors: Cors::none(),
        }
    }

    /// Where it listens; with the port the system chose, if it was asked for port 0.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The same server as a service.
    #[must_use]
    pub fn service(&self) -> SyncService {
        self.service.clone()
    }

    /// Stops accepting, answers what is in flight, closes WebSockets as going away; drops what is not done after
    /// [`ServerLimits::shutdown_timeout`]. Returns whether all was done in time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the server draining; calling again goes on.
    pub async fn shutdown(&self) -> bool {
        self.service.shutdown().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.service.shared.lifecycle.stop();
    }
}

/// `running` comes first, so that it is dropped last: a shutdown that waits for it finds nothing held any more.
async fn accept(mut running: Running, listener: TcpListener, service: SyncService) {
    loop {
        let accepted = tokio::select! {
            // First, so that no flood of connections keeps a server from ending.
            biased;
            () = running.reached(Phase::Draining) => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and written whole; a delayed one only waits.
        let _ = stream.set_nodelay(true);
        if let Some(connection) = Connection::admit(&service) {
            tokio::spawn(connection.serve(stream, peer));
        }
    }
}
