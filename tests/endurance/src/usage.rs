//! What a process holds, as Linux tells it, and how many files this one may hold.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{Instant, sleep};

use crate::findings::mebibytes;

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory that is resident, in bytes.
    pub resident_bytes: u64,
    /// The most memory that was ever resident, in bytes.
    pub peak_bytes: u64,
    /// Open files and sockets.
    pub files: u64,
    /// Threads.
    pub threads: u64,
}

impl Usage {
    /// Of the process `pid`; `None` if it is gone, or the system has no `/proc`.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let value = |key: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            resident_bytes: value("VmRSS")? * 1024,
            peak_bytes: value("VmHWM")? * 1024,
            files: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64,
            threads: value("Threads")?,
        })
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resident_bytes, files, threads, .. } = self;
        write!(f, "{}, {files} files, {threads} threads", mebibytes(*resident_bytes))
    }
}

/// Waits until a process holds so little, at most for `limit`; returns what it held when last seen, `None` if it is gone.
pub async fn wait_for(pid: u32, limit: Duration, holds: impl Fn(&Usage) -> bool) -> Option<Usage> {
    let give_up = Instant::now() + limit;
    loop {
        let usage = Usage::of(pid)?;
        if holds(&usage) || Instant::now() >= give_up {
            return Some(usage);
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Lets this process, and those that it starts, open as many files as the system allows. Returns how many that is.
#[must_use]
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // The limit stays as it was where the system does not want it raised.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
