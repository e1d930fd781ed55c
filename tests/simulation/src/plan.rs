//! What a seed decides before a run begins. A run is replayed by its plan.

use std::fmt;
use std::str::FromStr;

use crate::broken::Broken;
use crate::faults::{Fault, FaultSet};

/// What stands below the engine in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Logs, states, backend and network in memory.
    Memory,
    /// The real transports, and the real server, over a simulated network; logs, states and backend in memory.
    Network,
    /// The logs of clients and server in redb on simulated disks, and states in SQLite's files; a network in memory.
    Disk,
}

impl Layer {
    /// All layers, the fastest first.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Network, Self::Disk];

    /// The faults that a layer can have.
    #[must_use]
    pub fn faults(self) -> FaultSet {
        let only_elsewhere: &[Fault] = match self {
            Self::Memory => &[
                Fault::BackendRolledBack,
                Fault::DiskFull,
                Fault::WriteFailure,
                Fault::SyncFailure,
                Fault::PowerLoss,
                Fault::StateDamage,
                Fault::ConnectionReset,
            ],
            // Connections neither repeat nor lose what they carry without breaking.
            Self::Network => &[
                Fault::Duplication,
                Fault::BackendRolledBack,
                Fault::DiskFull,
                Fault::WriteFailure,
                Fault::SyncFailure,
                Fault::StateDamage,
            ],
            Self::Disk => &[Fault::ConnectionReset],
        };
        only_elsewhere.iter().fold(FaultSet::all(), |set, fault| set.without(*fault))
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
        })
    }
}

/// There is no layer of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLayer(String);

impl fmt::Display for UnknownLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Layer::ALL.map(|layer| layer.to_string()).join(", ");
        write!(f, "there is no layer {}; there are {names}", self.0)
    }
}

impl std::error::Error for UnknownLayer {}

impl FromStr for Layer {
    type Err = UnknownLayer;

    fn from_str(name: &str) -> Result<Self, UnknownLayer> {
        let found = Self::ALL.into_iter().find(|layer| layer.to_string() == name);
        found.ok_or_else(|| UnknownLayer(name.to_owned()))
    }
}

/// A run: the same plan gives the same run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What stands below the engine.
    pub layer: Layer,
    /// Decides everything that the rest leaves open.
    pub seed: u64,
    /// How many clients there are.
    pub clients: usize,
    /// How many things are done before the faults stop.
    pub steps: usize,
    /// Which faults may happen.
    pub faults: FaultSet,
    /// What is broken on purpose, to test the checks.
    pub broken: Option<Broken>,
}

impl Plan {
    /// The plan of a seed. Each run has some of the faults only, so that those which hide others do not hide them always.
    #[must_use]
    pub fn new(layer: Layer, seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed ^ 0x706c_616e);
        let share = chance.f64();
        let faults = layer.faults().iter().filter(|_| chance.f64() < share);
        let faults = faults.fold(FaultSet::NONE, FaultSet::with);
        // Mostly few clients: what goes wrong is found sooner, and reads better.
        let clients = if chance.f64() < 0.7 { chance.usize(2..=3) } else { chance.usize(4..=8) };
        Self { layer, seed, clients, steps: chance.usize(20..=100), faults, broken: None }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, seed, clients, steps, faults, broken } = self;
        write!(f, "layer {layer}, seed {seed}: {clients} clients, {steps} steps, faults: {faults}")?;
        match broken {
            Some(broken) => write!(f, "; broken: {broken}"),
            None => Ok(()),
        }
    }
}
