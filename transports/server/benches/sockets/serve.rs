//! The process that is measured, and the handle on it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use livestore_backend_memory::MemoryBackends;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_backend_sqlite::{SqliteBackends, SqliteConfig};
use livestore_server::Server;
use tempfile::TempDir;

use crate::bare;

/// What stores the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Memory,
    Redb,
    Sqlite,
}

impl Storage {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Redb, Self::Sqlite];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redb => "redb",
            Self::Sqlite => "sqlite",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|storage| storage.name() == name).unwrap()
    }
}

/// Serves stores in `dir` and, on a port of its own, the bare ceiling; prints where they listen and stays.
pub(crate) async fn serve(storage: Storage, dir: &Path) {
    let builder = match storage {
        Storage::Memory => Server::builder(MemoryBackends::new()),
        Storage::Redb => Server::builder(RedbBackends::open(dir, RedbConfig::default()).unwrap()),
        Storage::Sqlite => Server::builder(SqliteBackends::open(dir, SqliteConfig::default()).unwrap()),
    };
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    bare::serve(storage, dir, |bare| println!("{} {bare}", server.local_addr())).await;
}

/// A server process with empty stores.
pub(crate) struct Served {
    process: Child,
    pub(crate) server: SocketAddr,
    pub(crate) bare: SocketAddr,
    _dir: TempDir,
}

impl Served {
    pub(crate) fn start(storage: Storage) -> Self {
        use std::io::{BufRead, BufReader};
        let dir = TempDir::new().unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["serve", storage.name()])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let (server, bare) = line.trim().split_once(' ').unwrap();
        Self { server: server.parse().unwrap(), bare: bare.parse().unwrap(), process, _dir: dir }
    }

    /// Resident memory of the server in bytes. Linux only.
    pub(crate) fn resident_bytes(&self) -> usize {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.process.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// Processor time of the server so far, in seconds. Linux only.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
