//! A data dir of `todo`, and single runs of the program on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::process::Command;
use tokio::time::timeout;

use super::Promises;
use crate::binaries::Binaries;
use crate::server::limited;
use crate::{HANG, HarnessResult};

/// The store of all of them, as `todo` calls it by itself.
const STORE: &str = "todo";

/// A client: a directory that any number of processes share.
#[derive(Debug)]
pub struct TodoDir {
    name: String,
    binaries: Binaries,
    path: PathBuf,
    server: String,
    /// What its processes promised.
    promises: Mutex<Promises>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// As the system tells it.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it said to stderr.
    pub stderr: String,
}

impl TodoDir {
    /// A directory under `parent`, of a name that begins each text that is written there; its processes sync with
    /// `server`.
    #[must_use]
    pub fn new(binaries: &Binaries, parent: &Path, name: &str, server: String) -> Self {
        let promises = Mutex::new(Promises::new(name));
        Self { name: name.to_owned(), binaries: binaries.clone(), path: parent.join(name), server, promises }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Looks at or adds to what was promised.
    pub fn promises<T>(&self, look: impl FnOnce(&mut Promises) -> T) -> T {
        look(&mut self.promises.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The process that leads at the moment, as far as the directory tells.
    #[must_use]
    pub fn leader(&self) -> Option<u32> {
        let holder = fs::read_to_string(self.path.join(STORE).join("leader")).ok()?;
        holder.lines().find_map(|line| line.strip_prefix("pid "))?.parse().ok()
    }

    /// A run of the program, not started. Killed when it is dropped.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        self.prepared(Command::new(self.binaries.todo()), args)
    }

    /// The same, where no file can grow beyond a limit.
    #[must_use]
    pub fn limited(&self, max_file_bytes: u64, args: &[&str]) -> Command {
        self.prepared(limited(max_file_bytes, &self.binaries.todo().display().to_string()), args)
    }

    fn prepared(&self, mut command: Command, args: &[&str]) -> Command {
        // What is set where the hunt runs must not reach the program.
        for variable in ["TODO_DATA_DIR", "TODO_SERVER", "TODO_PAYLOAD", "TODO_STORE", "TODO_WAIT", "TODO_CA"]
        {
            command.env_remove(variable);
        }
        command.arg("--data-dir").arg(&self.path).args(["--server", &self.server]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn run(&self, args: &[&str]) -> HarnessResult<Ended> {
        ended(self.command(args)).await
    }
}

/// Runs a command to its end.
///
/// # Errors
/// If it does not end.
pub async fn ended(mut command: Command) -> HarnessResult<Ended> {
    let output =
        timeout(2 * HANG, command.output()).await.map_err(|_| format!("{command:?} does not end"))??;
    Ok(Ended {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
