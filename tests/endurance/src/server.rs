//! One `livestore serve` as a process. It keeps its port and its data over all its lives.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use livestore_connect::Connect;
use livestore_traits::{StoreId, SyncBackend};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::binaries::Binaries;
use crate::{HANG, HarnessResult};

/// Below the ports that systems give to clients: one that tries to reach a dead server must not get its port.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Every wire that the server speaks, as the beginning of a URL.
pub const WIRES: [&str; 4] = ["ws", "http", "livestore+ws", "livestore+http"];

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The programs.
    pub binaries: Binaries,
    /// A directory of this server alone: its data, and what it says to stderr.
    pub dir: PathBuf,
    /// `redb` or `sqlite`.
    pub store: String,
    /// Further options of `livestore serve`.
    pub args: Vec<String>,
    /// No file may grow larger than so many bytes, as on a full disk.
    pub max_file_bytes: Option<u64>,
}

impl ServerOptions {
    /// A server with redb in `dir`.
    #[must_use]
    pub fn new(binaries: Binaries, dir: impl Into<PathBuf>) -> Self {
        Self { binaries, dir: dir.into(), store: "redb".to_owned(), args: Vec::new(), max_file_bytes: None }
    }

    /// With the storage of this name.
    #[must_use]
    pub fn store(mut self, store: &str) -> Self {
        store.clone_into(&mut self.store);
        self
    }

    /// With these further options.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn stderr(&self) -> PathBuf {
        self.dir.join("stderr")
    }
}

/// A server that runs, or that was stopped and can be started again. Killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    options: ServerOptions,
    addr: SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// Starts one on a free port of the loopback.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(options: ServerOptions) -> HarnessResult<Self> {
        fs::create_dir_all(options.data_dir())?;
        let mut server = Self { options, addr: free_port()?, child: None };
        server.start_again().await?;
        Ok(server)
    }

    /// Starts it again after it was killed or stopped. Returns how long it took until it served.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_again(&mut self) -> HarnessResult<Duration> {
        let begun = Instant::now();
        let mut child = self.command()?.spawn()?;
        let stdout = child.stdout.take().ok_or("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let introduced = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("curl ") {
                    return Ok(());
                }
            }
            Err(std::io::Error::other("it ended"))
        };
        if let Err(error) = timeout(HANG, introduced).await.map_err(std::io::Error::other).flatten() {
            child.kill().await?;
            let said = self.said();
            return Err(format!("the server did not start: {error}; it says: {}", said.trim()).into());
        }
        // It must never wait for somebody to read what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.child = Some(child);
        Ok(begun.elapsed())
    }

    fn command(&self) -> HarnessResult<Command> {
        let options = &self.options;
        let program = options.binaries.livestore();
        let mut command = match options.max_file_bytes {
            None => Command::new(program),
            Some(bytes) => limited(bytes, &program.display().to_string()),
        };
        command.args(["serve", "--listen", &self.addr.to_string(), "--store", &options.store]);
        command.arg("--data-dir").arg(options.data_dir()).args(&options.args);
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command.stderr(fs::OpenOptions::new().create(true).append(true).open(options.stderr())?);
        Ok(command)
    }

    /// Kills it with SIGKILL, wherever it is.
    ///
    /// # Errors
    /// If it is not running.
    pub async fn kill(&mut self) -> HarnessResult<()> {
        Ok(self.child.take().ok_or("the server is not running")?.kill().await?)
    }

    /// Asks it with SIGTERM to stop, and waits for its end.
    ///
    /// # Errors
    /// If it is not running, or does not end.
    pub async fn terminate(&mut self) -> HarnessResult<ExitStatus> {
        let pid = i32::try_from(self.pid())?;
        kill_process(Pid::from_raw(pid).ok_or("the server is not running")?, Signal::TERM)?;
        let mut child = self.child.take().ok_or("the server is not running")?;
        Ok(timeout(HANG, child.wait()).await.map_err(|_| "the server did not stop after SIGTERM")??)
    }

    /// From its next start on, files may grow as large as they want, or only so large.
    pub const fn set_max_file_bytes(&mut self, bytes: Option<u64>) {
        self.options.max_file_bytes = bytes;
    }

    /// Its process id; 0 if it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap_or_default()
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL over a wire of [`WIRES`].
    #[must_use]
    pub fn url(&self, wire: &str) -> String {
        format!("{wire}://{}", self.addr)
    }

    /// All that it has said to stderr, over all its lives.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.options.stderr()).unwrap_or_default()
    }

    /// Violations that its stderr tells of.
    #[must_use]
    pub fn panics(&self) -> Vec<String> {
        let said = self.said();
        let panics = said.lines().filter(|line| line.contains("panicked at"));
        panics.map(|line| format!("the server panicked: {line}")).collect()
    }
}

/// A client of a store, over the wire that the URL names.
///
/// # Errors
/// If there is no such wire.
pub fn connect(url: &str, store: &str) -> HarnessResult<Arc<dyn SyncBackend>> {
    Ok(Connect::to(url, StoreId::new(store)?).backend()?)
}

/// A shell that becomes `program`, whose files cannot grow beyond a limit. The limit is a soft one, so it can be lifted.
#[must_use]
pub fn limited(max_file_bytes: u64, program: &str) -> Command {
    let mut command = Command::new("sh");
    // Writes beyond the limit fail, as on a full disk, once the signal that they would raise is ignored. In blocks of 512.
    let script = format!(r#"trap '' XFSZ; ulimit -S -f {}; exec "$0" "$@""#, max_file_bytes / 512);
    command.args(["-c", &script, program]);
    command
}

/// Waits until `condition` holds, at most for as long as a hang takes. Returns whether it came to hold.
pub async fn wait_until(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let give_up = Instant::now() + HANG;
    while !condition().await {
        if Instant::now() >= give_up {
            return false;
        }
        sleep(BETWEEN_TRIES).await;
    }
    true
}

fn free_port() -> HarnessResult<SocketAddr> {
    let port = std::iter::repeat_with(|| fastrand::u16(PORTS));
    let mut addrs = port.take(100).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    addrs.find(|addr| TcpListener::bind(addr).is_ok()).ok_or_else(|| "there is no free port".into())
}
