//! `livestore serve`: the sync server.
//!
//! ```text
//! open the data ─► listen ─► say so ─► serve ── first signal ──► drain ─► close the data ─► exit 0
//!      ▲                                 │                       └──── second signal ────► exit 130
//!      └── a failed write closed it ─────┘
//! ```

mod limits;
mod opened;
mod outage;
mod signals;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use livestore_server::{Cors, Server};

use crate::data::{self, StoreKind};
use crate::error::CommandError;
use crate::terminal::say;
use crate::units::Time;
use limits::{LogLimits, RedbOptions, ServeLimits, SqliteOptions};
use opened::Data;
use outage::{IsClosed, Noticing, Outages};
use signals::Signals;

/// Stands for pages of every origin.
const ANY_ORIGIN: &str = "*";
/// The first pause between two tries to open the data again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_REOPEN_PAUSE: Duration = Duration::from_secs(60);
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
    /// Let pages of this origin, such as `https://app.example`, use the server over HTTP; `*` for pages of every origin.
    /// May be given several times. WebSockets are not restricted by browsers.
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = parse_origin)]
    allow_origins: Vec<String>,
    #[command(flatten)]
    limits: ServeLimits,
    #[command(flatten)]
    log_limits: LogLimits,
    #[command(flatten)]
    redb: RedbOptions,
    #[command(flatten)]
    sqlite: SqliteOptions,
}

impl ServeArgs {
    fn cors(&self) -> Cors {
        if self.allow_origins.is_empty() {
            Cors::none()
        } else if self.allow_origins.iter().any(|origin| origin == ANY_ORIGIN) {
            Cors::any()
        } else {
            Cors::origins(self.allow_origins.iter().cloned())
        }
    }
}

/// Checks an origin as browsers write it: scheme and host, perhaps a port, nothing behind them.
fn parse_origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' ']));
    if text == ANY_ORIGIN || is_origin {
        Ok(text.to_owned())
    } else {
        Err("an origin is written as https://app.example or http://localhost:5173, without a slash at the end".to_owned())
    }
}

pub(crate) fn run(args: ServeArgs) -> Result<(), CommandError> {
    args.log_limits.check(&args.limits)?;
    let data = data::opening(|| Data::open(&args))?;
    let runtime = crate::runtime()?;
    let served = runtime.block_on(serve(Arc::new(args), data));
    // Data that is being opened again at this moment need not be waited for.
    runtime.shutdown_background();
    served
}

async fn serve(args: Arc<ServeArgs>, data: Data) -> Result<(), CommandError> {
    let mut signals = Signals::new()
        .map_err(|error| CommandError::new("signals cannot be listened to").caused_by(error))?;
    let outages = Arc::new(Outages::new());
    let listener = listen(&args.listen).await?;
    let mut running = Running::start(&args, &listener, data, &outages)?;
    introduce(running.server.local_addr(), &args.place()?);
    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            () = running.storage_closed(&outages) => {}
        }
        running.stop().await;
        let data = tokio::select! {
            data = open_again(&args) => data,
            _ = signals.next() => {
                say("stopped");
                return Ok(());
            }
        };
        running = Running::start(&args, &listener, data, &outages)?;
    };
    say(format_args!("{signal}: finishing what is in flight; once more stops at once"));
    // From now on connections are refused, instead of waiting for a server that will not come back.
    drop(listener);
    tokio::select! {
        in_time = running.stop() => {
            if !in_time {
                let limit = Time(args.limits.limits().shutdown_timeout);
                say(format_args!("after {limit}, what was still in flight was dropped"));
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

/// The listener outlives the servers on it: while the data is opened again, connections wait instead of being refused,
/// and nobody else can take the port.
async fn listen(addr: &str) -> Result<TcpListener, CommandError> {
    let listener = tokio::net::TcpListener::bind(addr).await.and_then(tokio::net::TcpListener::into_std);
    listener.map_err(|error| listen_failed(addr, error))
}

/// A server on opened data.
struct Running {
    server: Server,
    is_closed: IsClosed,
}

impl Running {
    fn start(
        args: &ServeArgs,
        listener: &TcpListener,
        data: Data,
        outages: &Arc<Outages>,
    ) -> Result<Self, CommandError> {
        let builder = Server::builder(Noticing::new(data.provider, outages.clone(), data.is_closed.clone()))
            .limits(args.limits.limits())
            .public_history(args.public_history)
            .cors(args.cors());
        let listener = listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        let server = listener.and_then(|listener| builder.listen(listener));
        let server = server.map_err(|error| listen_failed(&args.listen, error))?;
        Ok(Self { server, is_closed: data.is_closed })
    }

    /// Waits until the storage has closed itself over a failure.
    async fn storage_closed(&self, outages: &Outages) {
        // A notice may be left over from the storage that was open before.
        while !(self.is_closed)() {
            outages.closed().await;
        }
    }

    /// Drains and closes the data. Returns whether all was done in time.
    async fn stop(self) -> bool {
        let in_time = self.server.shutdown().await;
        // Closing the data writes what was handed over and waits for its thread.
        let closed = tokio::task::spawn_blocking(move || drop(self)).await;
        in_time && closed.is_ok()
    }
}

/// Opens the data after it closed itself; tries for as long as it takes.
async fn open_again(args: &Arc<ServeArgs>) -> Data {
    let mut pause = REOPEN_PAUSE;
    loop {
        let args = args.clone();
        match tokio::task::spawn_blocking(move || data::opening(|| Data::open(&args))).await {
            Ok(Ok(data)) => return data,
            Ok(Err(error)) => tracing::error!("not serving, trying again in {}: {error}", Time(pause)),
            Err(error) => tracing::error!("not serving, trying again in {}: {error}", Time(pause)),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_REOPEN_PAUSE);
    }
}

fn listen_failed(listen: &str, error: std::io::Error) -> CommandError {
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
