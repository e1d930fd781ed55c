//! `livestore serve`: the sync server.
//!
//! ```text
//! open the data ─► listen ─► say so ─► serve ── first signal ──► drain ─► close the data ─► exit 0
//!      ▲                                 │                       └──── second signal ────► exit 130
//!      └── a failed write closed it ─────┘
//! ```

mod config;
mod limits;
mod opened;
mod outage;
mod signals;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ArgAction;
use http::HeaderName;
use livestore_auth::Access;
use livestore_server::{Cors, Server};

use crate::data::{self, StoreKind};
use crate::error::CommandError;
use crate::terminal::say;
use crate::units::Time;
pub(crate) use config::{Config, read as read_config};
use config::{EXAMPLE, Guarding};
use limits::{LogLimits, RedbOptions, ServeLimits, SqliteOptions};
use opened::Data;
use outage::{IsClosed, Noticing, Outages};
use signals::Signals;

/// Where the data is, unless something else is said.
const DATA_DIR: &str = "./livestore-data";
/// Stands for pages of every origin.
const ANY_ORIGIN: &str = "*";
/// The first pause between two tries to open the data again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_REOPEN_PAUSE: Duration = Duration::from_secs(60);
/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Start the sync server. Ctrl-C or SIGTERM drains and stops it; a second one stops it at once.
///
/// Unless access rules or tokens are configured (see --config), whoever reaches the address can read and write every
/// store. Keep such a server on 127.0.0.1.
///
/// SIZE is in bytes or with a unit: 895000, 64KiB, 1MiB, 2GiB. TIME has a unit: 500ms, 30s, 5m, 1h.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// A file with settings, in TOML. Every flag here is a key of the same name, and a flag overrides its key; access rules
    /// and tokens are set there only. `--example-config` shows all of it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print a commented config file with every key, and exit.
    #[arg(long)]
    example_config: bool,
    /// Print the settings in force, of file and flags, and exit. What sync payloads must hold is left out.
    #[arg(long)]
    print_config: bool,
    /// Where to listen. Port 0 lets the system choose one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8787")]
    listen: String,
    /// Where the data is; made if it is not there [default: ./livestore-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Keep everything in memory: nothing survives the server.
    #[arg(long, conflicts_with_all = ["data_dir", "store"], value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value_t = false, action = ArgAction::Set, hide_default_value = true,
        hide_possible_values = true)]
    memory: bool,
    /// What keeps the data. By default what is in the data dir, and redb in an empty one.
    #[arg(long, value_name = "KIND")]
    store: Option<StoreKind>,
    /// What anyone may do with a store that no access rule speaks of: read-write, read or none [default: none if there are
    /// rules, else read-write].
    #[arg(long, value_name = "ACCESS")]
    default_access: Option<Access>,
    /// Let shared caches keep pages of history. Only where anybody may read every store.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    public_history: bool,
    /// Let pages of this origin, such as `https://app.example`, use the server over HTTP; `*` for pages of every origin.
    /// May be given several times. WebSockets are not restricted by browsers.
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = parse_origin)]
    allow_origin: Vec<String>,
    /// Let requests of such pages have this header; by default they may have any. May be given several times.
    #[arg(long, value_name = "NAME")]
    allow_header: Vec<HeaderName>,
    #[command(flatten)]
    limits: ServeLimits,
    #[command(flatten)]
    log_limits: LogLimits,
    #[command(flatten)]
    redb: RedbOptions,
    #[command(flatten)]
    sqlite: SqliteOptions,
    /// What the config file says beside the flags.
    #[arg(skip)]
    pub(crate) beside: Config,
}

impl ServeArgs {
    fn data_dir(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or(Path::new(DATA_DIR))
    }

    /// Who may do what.
    fn guarding(&self) -> Result<Guarding, CommandError> {
        let guarding = self.beside.access.guarding(self.default_access)?;
        if self.public_history && !guarding.is_readable {
            return Err(CommandError::new(
                "public-history lets caches give history to anybody, but not anybody may read every store",
            )
            .hint("leave out public-history, or the access rules"));
        }
        Ok(guarding)
    }

    fn cors(&self) -> Cors {
        let cors = if self.allow_origin.is_empty() {
            Cors::none()
        } else if self.allow_origin.iter().any(|origin| origin == ANY_ORIGIN) {
            Cors::any()
        } else {
            Cors::origins(self.allow_origin.iter().cloned())
        };
        if self.allow_header.is_empty() { cors } else { cors.with_headers(self.allow_header.iter().cloned()) }
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
    if args.example_config {
        say(EXAMPLE.trim_end());
        return Ok(());
    }
    args.log_limits.check(&args.limits)?;
    let guarding = args.guarding()?;
    if let Some(settings) = &args.beside.printed {
        say(settings.trim_end());
        return Ok(());
    }
    let data = data::opening(|| Data::open(&args))?;
    let runtime = crate::runtime()?;
    let served = runtime.block_on(serve(Arc::new(args), &guarding, data));
    // Data that is being opened again at this moment need not be waited for.
    runtime.shutdown_background();
    served
}

async fn serve(args: Arc<ServeArgs>, guarding: &Guarding, data: Data) -> Result<(), CommandError> {
    let mut signals = Signals::new()
        .map_err(|error| CommandError::new("signals cannot be listened to").caused_by(error))?;
    let outages = Arc::new(Outages::new());
    let listener = listen(&args.listen).await?;
    let mut running = Running::start(&args, guarding, &listener, data, &outages)?;
    introduce(running.server.local_addr(), &args.place()?, guarding);
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
        running = Running::start(&args, guarding, &listener, data, &outages)?;
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
        guarding: &Guarding,
        listener: &TcpListener,
        data: Data,
        outages: &Arc<Outages>,
    ) -> Result<Self, CommandError> {
        let builder = Server::builder(Noticing::new(data.provider, outages.clone(), data.is_closed.clone()))
            .limits(args.limits.limits())
            .authorizer(guarding.authorizer.clone())
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
fn introduce(addr: SocketAddr, place: &str, guarding: &Guarding) {
    let near = reachable(addr);
    say(format_args!(
        "livestore {} serves ws://{addr} and http://{addr}; Ctrl-C stops it",
        env!("CARGO_PKG_VERSION")
    ));
    say(format_args!("  data: {place}"));
    say(format_args!("  access: {}", guarding.description));
    say(format_args!(
        "  try:  cargo run --release -p todo -- --data-dir a --server ws://{near} add \"buy milk\""
    ));
    say(format_args!("        curl http://{near}/stores/todo/pull"));
    if guarding.is_open && !addr.ip().is_loopback() {
        tracing::warn!(%addr, "anyone who reaches this address can read and write every store");
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
