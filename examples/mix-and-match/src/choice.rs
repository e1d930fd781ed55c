//! The flags.

use std::fmt;

use clap::{Args, ValueEnum};

/// Which part plays which role.
#[derive(Clone, Copy, Debug, Args)]
pub struct Choice {
    /// Where a client keeps its events.
    #[arg(long, value_enum, default_value = "redb")]
    pub eventlog: EventlogChoice,
    /// Where a client keeps its state.
    #[arg(long, value_enum, default_value = "sqlite-file")]
    pub state: StateChoice,
    /// How a client reaches the backend.
    #[arg(long, value_enum, default_value = "ws")]
    pub transport: TransportChoice,
    /// Where the backend keeps the one order of all events.
    #[arg(long, value_enum, default_value = "redb")]
    pub backend: BackendChoice,
    /// How it is decided who leads a client.
    #[arg(long, value_enum, default_value = "file")]
    pub election: ElectionChoice,
}

/// Where a client keeps its events.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EventlogChoice {
    /// In memory.
    Memory,
    /// In a redb file.
    Redb,
    /// In an SQLite file.
    Sqlite,
}

/// Where a client keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateChoice {
    /// In a Rust value.
    Memory,
    /// In an SQLite database in memory.
    SqliteMemory,
    /// In an SQLite file.
    SqliteFile,
}

/// How a client reaches the backend.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TransportChoice {
    /// Not at all: it is in the same process, and called directly.
    None,
    /// Over a network played in memory.
    Memory,
    /// Over a WebSocket.
    Ws,
    /// Over HTTP, in JSON.
    HttpJson,
    /// Over HTTP, in a compact encoding.
    HttpPostcard,
}

/// Where the backend keeps the one order of all events.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BackendChoice {
    /// In memory.
    Memory,
    /// In a redb file.
    Redb,
    /// In an SQLite file.
    Sqlite,
}

/// How it is decided who leads a client.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ElectionChoice {
    /// Not at all: whoever opens the eventlog leads.
    None,
    /// Among those in this process.
    Memory,
    /// By a lock on a file, among all processes.
    File,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn flag(value: impl ValueEnum) -> String {
            value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
        }
        write!(
            f,
            "--eventlog {} --state {} --transport {} --backend {} --election {}",
            flag(self.eventlog),
            flag(self.state),
            flag(self.transport),
            flag(self.backend),
            flag(self.election)
        )
    }
}
