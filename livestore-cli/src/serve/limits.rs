//! The bounds of a server as options. Their defaults are those of the crates that keep them.

use clap::ArgAction;
use livestore_backend_redb::{Clock, LogConfig, RedbConfig};
use livestore_backend_sqlite::SqliteConfig;
use livestore_server::ServerLimits;
use livestore_traits::Limits;

use crate::data::StoreKind;
use crate::error::CommandError;
use crate::units::{ByteSize, Count, Time};

const SERVER: ServerLimits = ServerLimits::DEFAULT;
const EVENTS: Limits = Limits::BACKEND;
/// What a frame needs beside its events, generously.
const MIN_FRAME_BYTES: ByteSize = ByteSize(16 * 1024);

/// Connections, requests and waits.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits of connections")]
pub(super) struct ServeLimits {
    /// The most connections that speak HTTP; further ones are closed.
    #[arg(long, value_name = "N", default_value_t = Count(SERVER.max_connections))]
    max_connections: Count,
    /// The most WebSockets; further ones get 503.
    #[arg(long, value_name = "N", default_value_t = Count(SERVER.max_websockets))]
    max_websockets: Count,
    /// The most stores open at once; beyond it, idle ones are closed, or requests get 503.
    #[arg(long, value_name = "N", default_value_t = Count(SERVER.max_open_stores))]
    max_open_stores: Count,
    /// The largest WebSocket message and HTTP body.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::of(SERVER.max_frame_bytes))]
    max_frame_bytes: ByteSize,
    /// The most pushes that one WebSocket may have running.
    #[arg(long, value_name = "N", default_value_t = Count(SERVER.max_pushes_per_connection))]
    max_pushes_per_connection: Count,
    /// The most pulls that one WebSocket may have running.
    #[arg(long, value_name = "N", default_value_t = Count(SERVER.max_pulls_per_connection))]
    max_pulls_per_connection: Count,
    /// How long the head of a request may take, and an HTTP connection may be idle.
    #[arg(long, value_name = "TIME", default_value_t = Time(SERVER.header_timeout))]
    header_timeout: Time,
    /// How long a decision about access may take.
    #[arg(long, value_name = "TIME", default_value_t = Time(SERVER.authorize_timeout))]
    authorize_timeout: Time,
    /// How long the body of a request may take.
    #[arg(long, value_name = "TIME", default_value_t = Time(SERVER.body_timeout))]
    body_timeout: Time,
    /// How long a LiveStore client may ping over a new WebSocket before it pulls; one that forgot to is healed by losing
    /// the connection.
    #[arg(long, value_name = "TIME", default_value_t = Time(SERVER.first_pull_timeout))]
    first_pull_timeout: Time,
    /// How long a WebSocket may say nothing; clients ping every 20 seconds.
    #[arg(long, value_name = "TIME", default_value_t = Time(SERVER.idle_timeout))]
    idle_timeout: Time,
    /// How long a peer may take nothing while something is to be sent.
    #[arg(long, value_name = "TIME", default_value_t = Time(SERVER.write_timeout))]
    write_timeout: Time,
    /// The longest a long poll waits, whatever it asks for.
    #[arg(long, value_name = "TIME", default_value_t = Time(SERVER.max_wait))]
    max_wait: Time,
    /// How long a store stays open that nobody uses.
    #[arg(long, value_name = "TIME", default_value_t = Time(SERVER.store_idle_timeout))]
    store_idle_timeout: Time,
    /// How long a shutdown waits for what is in flight.
    #[arg(long, value_name = "TIME", default_value_t = Time(SERVER.shutdown_timeout))]
    shutdown_timeout: Time,
}

impl ServeLimits {
    pub(super) fn limits(&self) -> ServerLimits {
        let mut limits = SERVER;
        limits.max_connections = self.max_connections.0;
        limits.max_websockets = self.max_websockets.0;
        limits.max_open_stores = self.max_open_stores.0;
        limits.max_frame_bytes = self.max_frame_bytes.in_memory();
        limits.max_pushes_per_connection = self.max_pushes_per_connection.0;
        limits.max_pulls_per_connection = self.max_pulls_per_connection.0;
        limits.header_timeout = self.header_timeout.0;
        limits.authorize_timeout = self.authorize_timeout.0;
        limits.body_timeout = self.body_timeout.0;
        limits.first_pull_timeout = self.first_pull_timeout.0;
        limits.idle_timeout = self.idle_timeout.0;
        limits.write_timeout = self.write_timeout.0;
        limits.max_wait = self.max_wait.0;
        limits.store_idle_timeout = self.store_idle_timeout.0;
        limits.shutdown_timeout = self.shutdown_timeout.0;
        limits
    }
}

/// Events and pushes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits of events")]
pub(super) struct LogLimits {
    /// The largest event. What LiveStore's JavaScript clients push is never larger than the default; if it were refused,
    /// they would push it again for ever.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::of(EVENTS.max_event_bytes))]
    max_event_bytes: ByteSize,
    /// The most events in one push or page.
    #[arg(long, value_name = "N", default_value_t = Count(EVENTS.max_batch_events))]
    max_batch_events: Count,
    /// The most bytes of events in one push or page.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::of(EVENTS.max_batch_bytes))]
    max_batch_bytes: ByteSize,
    /// Recent events of each open store that are kept in memory.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::of(LogConfig::default().tail_bytes))]
    tail_bytes: ByteSize,
    /// Recent events of all open stores together that are kept in memory.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::of(LogConfig::default().tails_bytes))]
    tails_bytes: ByteSize,
    /// Pushes of all stores that wait to be written; further ones wait in their connections.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::of(LogConfig::default().queue_bytes))]
    queue_bytes: ByteSize,
    /// Pushes that are synced to disk together.
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::of(LogConfig::default().group_bytes))]
    group_bytes: ByteSize,
}

impl LogLimits {
    /// Refuses bounds that let nothing through.
    pub(super) fn check(&self, serve: &ServeLimits) -> Result<(), CommandError> {
        let (event, batch, frame) = (self.max_event_bytes, self.max_batch_bytes, serve.max_frame_bytes);
        if event.0 > batch.0 {
            return Err(CommandError::new(format!(
                "--max-event-bytes {event} is more than --max-batch-bytes {batch}, which an event must fit into"
            )));
        }
        if frame.0 < MIN_FRAME_BYTES.0 {
            return Err(CommandError::new(format!(
                "--max-frame-bytes {frame} is too small: at least {MIN_FRAME_BYTES} are needed"
            )));
        }
        Ok(())
    }

    pub(super) fn config(&self) -> LogConfig {
        LogConfig {
            limits: Limits {
                max_event_bytes: self.max_event_bytes.in_memory(),
                max_batch_events: self.max_batch_events.0,
                max_batch_bytes: self.max_batch_bytes.in_memory(),
            },
            tail_bytes: self.tail_bytes.in_memory(),
            tails_bytes: self.tails_bytes.in_memory(),
            queue_bytes: self.queue_bytes.in_memory(),
            group_bytes: self.group_bytes.in_memory(),
            clock: Clock::system(),
        }
    }
}

/// What only redb knows.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With redb")]
pub(super) struct RedbOptions {
    /// Pages of the file that are kept in memory, over all stores [default: 128MiB].
    #[arg(long, value_name = "SIZE")]
    cache_bytes: Option<ByteSize>,
    /// Start quickly after a crash, however large the file is. Every commit then costs a second sync.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    fast_restart: bool,
}

impl RedbOptions {
    pub(super) fn check(&self, kind: Option<StoreKind>) -> Result<(), CommandError> {
        match (kind, self.cache_bytes.is_some(), self.fast_restart) {
            (Some(StoreKind::Redb), ..) | (_, false, false) => Ok(()),
            (_, true, _) => Err(not_for("--cache-bytes", StoreKind::Redb)),
            (_, false, true) => Err(not_for("--fast-restart", StoreKind::Redb)),
        }
    }

    pub(super) fn config(&self) -> RedbConfig {
        let default = RedbConfig::default();
        RedbConfig {
            cache_bytes: self.cache_bytes.map_or(default.cache_bytes, ByteSize::in_memory),
            fast_restart: self.fast_restart,
            ..default
        }
    }
}

/// What only SQLite knows.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With sqlite")]
pub(super) struct SqliteOptions {
    /// The file grows no larger; pushes beyond it are refused, and everything else goes on [default: no limit].
    #[arg(long, value_name = "SIZE")]
    max_file_bytes: Option<ByteSize>,
}

impl SqliteOptions {
    pub(super) fn check(&self, kind: Option<StoreKind>) -> Result<(), CommandError> {
        match (kind, self.max_file_bytes) {
            (Some(StoreKind::Sqlite), _) | (_, None) => Ok(()),
            (_, Some(_)) => Err(not_for("--max-file-bytes", StoreKind::Sqlite)),
        }
    }

    pub(super) fn config(&self) -> SqliteConfig {
        SqliteConfig { max_file_bytes: self.max_file_bytes.map(|size| size.0), ..SqliteConfig::default() }
    }
}

fn not_for(option: &str, kind: StoreKind) -> CommandError {
    CommandError::new(format!("{option} is for data in {kind}"))
        .hint(format!("leave it out, or use --store {kind}"))
}
