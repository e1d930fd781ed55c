//! `livestore serve`: the sync server.
//!
//! ```text
//! open the data ─► listen ─► say so ─► serve ── first signal ──► drain ─► close the data ─► exit 0
//!                                                                └──── second signal ────► exit 130
//! ```

mod limits;
mod outage;
mod signals;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use livestore_backend_memory::MemoryBackends;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_backend_sqlite::{SqliteBackends, SqliteConfig};
use livestore_server::Server;
use livestore_traits::BackendProvider;

use crate::data::{self, StoreKind};
use crate::error::CommandError;
use crate::terminal::say;
use limits::{LogLimits, RedbOptions, ServeLimits, SqliteOptions};
use outage::ReportOutages;
use signals::Signals;

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Start the sync server. Ctrl-C or SIGTERM drains and stops it; a second one stops it at once.
///
/// There is no authentication: whoever reaches the address can read and write every store. Keep it on 127.0.0.1, or put a
/// proxy in front of it that asks who is there.
///
/// SIZE is in bytes or with a unit: 895000, 64KiB, 1MiB, 2GiB. TIME has a unit: 500ms, 30s, 5m, 1h.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Where to listen. Port 0 lets the system choose one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8787")]
    listen: String,
    /// Where the data is; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "./livestore-data")]
    data_dir: PathBuf,
    /// Keep everything in memory: nothing survives the server.
    #[arg(long, conflicts_with_all = ["data_dir", "store"])]
    memory: bool,
    /// What keeps the data. By default what is in the data dir, and redb in an empty one.
    #[arg(long, value_name = "KIND")]
    store: Option<StoreKind>,
    /// Let shared caches keep pages of history. Only where anybody may read every store.
    #[arg(long)]
    public_history: bool,
    #[command(flatten)]
    limits: ServeLimits,
    #[command(flatten)]
    log_limits: LogLimits,
    #[command(flatten)]
    redb: RedbOptions,
    #[command(flatten)]
    sqlite: SqliteOptions,
}

/// The opened data, and what to say about it.
struct Data {
    provider: Arc<dyn BackendProvider>,
    place: String,
}

pub(crate) fn run(args: ServeArgs) -> Result<(), CommandError> {
    args.log_limits.check(&args.limits)?;
    let data = open(&args)?;
    let runtime = crate::runtime()?;
    runtime.block_on(serve(args, data))
}

fn open(args: &ServeArgs) -> Result<Data, CommandError> {
    let log = args.log_limits.config();
    let kind = if args.memory { None } else { Some(data::kind_in(&args.data_dir, args.store)?) };
    args.redb.check(kind)?;
    args.sqlite.check(kind)?;
    let provider: Arc<dyn BackendProvider> = match kind {
        None => Arc::new(MemoryBackends::with_config(log)),
        Some(StoreKind::Redb) => {
            let config = RedbConfig { log, ..args.redb.config() };
            Arc::new(RedbBackends::open(&args.data_dir, config).map_err(data::open_failed)?)
        }
        Some(StoreKind::Sqlite) => {
            let config = SqliteConfig { log, ..args.sqlite.config() };
            Arc::new(SqliteBackends::open(&args.data_dir, config).map_err(data::open_failed)?)
        }
    };
    let place = kind
        .map_or_else(|| "in memory only, gone when it stops".to_owned(), |kind| place(kind, &args.data_dir));
    Ok(Data { provider, place })
}

fn place(kind: StoreKind, dir: &Path) -> String {
    format!("in {}, synced to disk before a push is acknowledged", kind.file_in(dir).display())
}

async fn serve(args: ServeArgs, data: Data) -> Result<(), CommandError> {
    let mut signals = Signals::new()
        .map_err(|error| CommandError::new("signals cannot be listened to").caused_by(error))?;
    let limits = args.limits.limits();
    let shutdown_timeout = limits.shutdown_timeout;
    let server = Server::builder(ReportOutages::new(data.provider))
        .limits(limits)
        .public_history(args.public_history)
        .bind(&args.listen)
        .await
        .map_err(|error| bind_failed(&args.listen, error))?;
    introduce(server.local_addr(), &data.place);

    let signal = signals.next().await;
    say(format_args!("{signal}: finishing what is in flight; once more stops at once"));
    let stop = async {
        let in_time = server.shutdown().await;
        // Closing the data writes what was handed over and waits for its thread.
        let closed = tokio::task::spawn_blocking(move || drop(server)).await;
        in_time && closed.is_ok()
    };
    tokio::select! {
        in_time = stop => {
            if !in_time {
                let shutdown_timeout = crate::units::Time(shutdown_timeout);
                say(format_args!("after {shutdown_timeout}, what was still in flight was dropped"));
            }
            say("stopped");
            Ok(())
        }
        _ = signals.next() => {
            say("stopped at once; every acknowledged event is safe");
            std::process::exit(INTERRUPTED)
        }
    }
}

fn bind_failed(listen: &str, error: std::io::Error) -> CommandError {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => "stop the program that uses it, or choose another one with --listen",
        std::io::ErrorKind::PermissionDenied => "choose a port above 1023 with --listen",
        _ => "--listen takes an address of this machine, such as 127.0.0.1:8787",
    };
    CommandError::new(format!("cannot listen on {listen}")).caused_by(error).hint(hint)
}

/// Says where the server is and what to try with it.
fn introduce(addr: SocketAddr, place: &str) {
    let near = reachable(addr);
    say(format_args!(
        "livestore {} serves ws://{addr} and http://{addr}; Ctrl-C stops it",
        env!("CARGO_PKG_VERSION")
    ));
    say(format_args!("  data: {place}"));
    say(format_args!(
        "  try:  cargo run --release -p todo -- --data-dir a --server ws://{near} add \"buy milk\""
    ));
    say(format_args!("        curl http://{near}/stores/todo/pull"));
    if !addr.ip().is_loopback() {
        tracing::warn!(%addr, "anybody who reaches this address can read and write every store");
    }
}

/// An address at which this machine reaches a server that listens on `addr`.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}
