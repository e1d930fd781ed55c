//! The kinds of faults, and which of them a run has.

use std::fmt;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Messages are lost.
    Loss,
    /// Messages arrive twice.
    Duplication,
    /// Messages overtake each other.
    Reordering,
    /// A client cannot reach the backend, and knows it.
    Partition,
    /// A client cannot reach the backend, and nobody tells it.
    HalfOpen,
    /// Requests take effect, and nothing comes back.
    AnswersLost,
    /// The server crashes, at any step of a push.
    ServerCrash,
    /// A process of a client crashes.
    ProcessCrash,
    /// A process crashes in the middle of a commit of its log.
    CommitCrash,
    /// A leader stops for a while, and may lose its leadership meanwhile.
    LeaderPause,
    /// A client's log fails.
    LogFailure,
    /// All clocks jump ahead.
    ClockJump,
    /// The backend begins anew, with nothing.
    BackendReset,
    /// The backend is an older copy of itself under a new id.
    BackendRestored,
    /// The backend is an older copy of itself, and nobody gave it a new id.
    BackendRolledBack,
    /// A subscriber stops reading.
    DeadSubscriber,
    /// An event that the backend refuses.
    Rejection,
    /// An event that a client does not know.
    UnknownEvent,
    /// An event whose materializer fails.
    MaterializerFailure,
    /// A device is full.
    DiskFull,
    /// A write fails, or only a part of it is done.
    WriteFailure,
    /// A sync fails.
    SyncFailure,
    /// The power goes with a process: of what was not synced parts are dropped or torn, and its peers hear nothing.
    PowerLoss,
    /// A state file is damaged, old or gone.
    StateDamage,
    /// A connection is reset.
    ConnectionReset,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 25] = [
        Self::Loss,
        Self::Duplication,
        Self::Reordering,
        Self::Partition,
        Self::HalfOpen,
        Self::AnswersLost,
        Self::ServerCrash,
        Self::ProcessCrash,
        Self::CommitCrash,
        Self::LeaderPause,
        Self::LogFailure,
        Self::ClockJump,
        Self::BackendReset,
        Self::BackendRestored,
        Self::BackendRolledBack,
        Self::DeadSubscriber,
        Self::Rejection,
        Self::UnknownEvent,
        Self::MaterializerFailure,
        Self::DiskFull,
        Self::WriteFailure,
        Self::SyncFailure,
        Self::PowerLoss,
        Self::StateDamage,
        Self::ConnectionReset,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loss => "loss",
            Self::Duplication => "duplication",
            Self::Reordering => "reordering",
            Self::Partition => "partition",
            Self::HalfOpen => "half-open",
            Self::AnswersLost => "answers lost",
            Self::ServerCrash => "server crash",
            Self::ProcessCrash => "process crash",
            Self::CommitCrash => "crash in a commit",
            Self::LeaderPause => "leader paused",
            Self::LogFailure => "log failure",
            Self::ClockJump => "clock jump",
            Self::BackendReset => "backend reset",
            Self::BackendRestored => "backend restored",
            Self::BackendRolledBack => "backend rolled back",
            Self::DeadSubscriber => "dead subscriber",
            Self::Rejection => "rejection",
            Self::UnknownEvent => "unknown event",
            Self::MaterializerFailure => "materializer failure",
            Self::DiskFull => "disk full",
            Self::WriteFailure => "failed write",
            Self::SyncFailure => "failed sync",
            Self::PowerLoss => "power loss",
            Self::StateDamage => "damaged state",
            Self::ConnectionReset => "connection reset",
        })
    }
}

/// A set of kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultSet(u32);

impl FaultSet {
    /// No faults.
    pub const NONE: Self = Self(0);

    /// All faults.
    #[must_use]
    pub fn all() -> Self {
        Fault::ALL.into_iter().fold(Self::NONE, Self::with)
    }

    /// This and another kind.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault as u32)
    }

    /// All but one kind.
    #[must_use]
    pub const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u32))
    }

    /// Whether a kind is among them.
    #[must_use]
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & 1 << fault as u32 != 0
    }

    /// The kinds, in order.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }
}

impl fmt::Display for FaultSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(|fault| fault.to_string()).collect();
        f.write_str(&names.join(", "))
    }
}
