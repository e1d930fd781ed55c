//! Runs the built program as users do: as processes, each data directory a client.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use livestore_backend_memory::MemoryBackends;
use livestore_server::Server;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Only ever waited for when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A data directory, and perhaps the URL of a server.
pub(crate) struct Client {
    dir: TempDir,
    server: Option<String>,
}

impl Client {
    pub(crate) fn offline() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), server: None }
    }

    pub(crate) fn of(url: impl Into<String>) -> Self {
        Self { server: Some(url.into()), ..Self::offline() }
    }

    /// The same data without the server, or with another one.
    pub(crate) fn with_server(self, server: Option<String>) -> Self {
        Self { server, ..self }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file of the client's store.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir().join("todo").join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_todo"));
        // What the developer has set must not reach the test.
        command.env_clear().arg("--data-dir").arg(self.dir()).args(args);
        if let Some(server) = &self.server {
            // How busy the machine is must not decide a test.
            command.args(["--server", server, "--wait", "60"]);
        }
        command
    }

    /// What a successful command prints.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?} failed: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The one sentence that a failing command says.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        sentence(&self.command(args).output().unwrap())
    }

    /// The list without ids.
    pub(crate) fn items(&self) -> Vec<String> {
        let list = self.ok(&["list"]);
        if list == "nothing to do\n" { Vec::new() } else { list.lines().map(without_id).collect() }
    }

    /// The id that is shown for the item with this text.
    pub(crate) fn id(&self, text: &str) -> String {
        let list = self.ok(&["list"]);
        let line = list.lines().find(|line| line.ends_with(&format!("  {text}"))).unwrap();
        line[4..].split("  ").next().unwrap().to_owned()
    }

    /// Starts a command that runs on.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Ends with the program, or when the test no longer listens.
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Running { child, lines }
    }

    /// Starts `watch` and waits until it shows the list and follows it.
    #[cfg(unix)]
    pub(crate) fn watch(&self) -> Running {
        let watching = self.start(&["watch"]);
        watching.read_until("the hint", |line| line.ends_with("; Ctrl-C ends it"));
        watching
    }
}

/// A program that runs on; killed at the end if it still does.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    /// Reads up to the first line that meets the condition.
    pub(crate) fn read_until(&self, what: &str, mut condition: impl FnMut(&str) -> bool) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if condition(&line) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("{what} was not printed, but {seen:#?}"),
            }
        }
    }

    /// What others call it.
    #[cfg(unix)]
    pub(crate) fn name(&self) -> String {
        format!("todo (process {})", self.child.id())
    }

    /// As `kill -9` does.
    #[cfg(unix)]
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The lines not read yet, up to the end of the program.
    pub(crate) fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sync server in the test's process. Stopping and starting it keeps what was pushed, as a server with files does.
pub(crate) struct TestServer {
    runtime: Runtime,
    backends: MemoryBackends,
    server: Option<Server>,
    addr: SocketAddr,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let backends = MemoryBackends::new();
        let server = runtime.block_on(Server::builder(backends.clone()).bind("127.0.0.1:0")).unwrap();
        let addr = server.local_addr();
        Self { runtime, backends, server: Some(server), addr }
    }

    pub(crate) fn stop(&mut self) {
        let server = self.server.take().unwrap();
        self.runtime.block_on(server.shutdown());
    }

    pub(crate) fn start_again(&mut self) {
        let (backends, addr) = (self.backends.clone(), self.addr);
        let bound = self.runtime.block_on(async {
            let started = Instant::now();
            loop {
                match Server::builder(backends.clone()).bind(addr).await {
                    // A client that looked for the server may have got its port for itself.
                    Err(_) if started.elapsed() < PATIENCE => tokio::task::yield_now().await,
                    bound => return bound,
                }
            }
        });
        self.server = Some(bound.unwrap());
    }

    /// The server is replaced by one that has nothing.
    pub(crate) fn lose_everything(&mut self) {
        self.stop();
        self.backends = MemoryBackends::new();
        self.start_again();
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.addr)
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// A failed program says one sentence, and nothing of panics.
pub(crate) fn sentence(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "not one line: {said}");
    said.strip_prefix("error: ").unwrap().trim_end().to_owned()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn without_id(line: &str) -> String {
    let (mark, rest) = line.split_at(4);
    format!("{mark}{}", rest.split_once("  ").unwrap().1)
}
