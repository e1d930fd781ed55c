//! Every bound the server keeps, in one place.

use std::time::Duration;

/// The bounds of a server. Past one of them a peer gets a typed error, has to wait, or is closed; nothing queues up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerLimits {
    /// The most connections, of the server's own listener or given to it, that speak HTTP. Beyond it, they are closed at once.
    pub max_connections: usize,
    /// The most WebSockets. Beyond it, 503 instead of the upgrade.
    pub max_websockets: usize,
    /// The most stores that are open at once. Beyond it, one that nobody uses is closed; if there is none, 503.
    pub max_open_stores: usize,
    /// The largest WebSocket message and HTTP request body, in bytes. Backends that take larger events offer less through
    /// this server.
    pub max_frame_bytes: usize,
    /// The most pushes that one WebSocket may have running. Beyond it, `Busy`.
    pub max_pushes_per_connection: usize,
    /// The most pulls that one WebSocket may have running. Beyond it, the pull ends as if offline.
    pub max_pulls_per_connection: usize,
    /// How long an HTTP connection may take to send the head of a request, and how long it may stay idle before one.
    pub header_timeout: Duration,
    /// How long the [`Authorizer`](crate::Authorizer) may take for an answer. Beyond it, 503.
    pub authorize_timeout: Duration,
    /// How long the body of a request may take to arrive.
    pub body_timeout: Duration,
    /// How long a LiveStore client may ping over a new WebSocket before it pulls. One that forgot to pull is healed by
    /// losing the connection.
    pub first_pull_timeout: Duration,
    /// How often a backend without live pull is asked for each LiveStore client that follows it.
    pub poll_interval: Duration,
    /// How long a WebSocket may say nothing, not even a ping. Clients ping every 20 seconds.
    pub idle_timeout: Duration,
    /// How long a peer may take nothing while something is to be sent, an answer or a message.
    pub write_timeout: Duration,
    /// The longest a long poll waits, whatever it asks for.
    pub max_wait: Duration,
    /// How long a store stays open that nobody uses.
    pub store_idle_timeout: Duration,
    /// How long a shutdown waits for requests in flight before it drops them.
    pub shutdown_timeout: Duration,
}

impl ServerLimits {
    /// What a machine of 2 cores and 4 GB carries.
    pub const DEFAULT: Self = Self {
        max_connections: 10_000,
        max_websockets: 50_000,
        max_open_stores: 10_000,
        max_frame_bytes: 1024 * 1024,
        max_pushes_per_connection: 64,
        max_pulls_per_connection: 16,
        header_timeout: Duration::from_secs(30),
        // Clients give a handshake 10 seconds in all.
        authorize_timeout: Duration::from_secs(5),
        body_timeout: Duration::from_secs(30),
        first_pull_timeout: Duration::from_secs(30),
        poll_interval: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_secs(30),
        max_wait: Duration::from_secs(60),
        store_idle_timeout: Duration::from_secs(60),
        shutdown_timeout: Duration::from_secs(10),
    };
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
