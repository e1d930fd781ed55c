//! What a client has on its device: its log, and its state.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use livestore_disk::SimDisk;
use livestore_disk::files::{Damage, Image};
use livestore_engine::StoreBuilder;
use livestore_eventlog_memory::MemoryStorage;
use livestore_eventlog_redb::RedbEventlog;
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteStates};
use livestore_traits::{Eventlog, EventlogError};
use tempfile::TempDir;

use crate::app::{memory_schema, sqlite_schema};

/// Kinds of damage to a state that SQLite notices, or that are a state of an earlier time.
const DAMAGE: [Damage; 4] = [Damage::Truncate, Damage::OldCopy, Damage::TornWalFrame, Damage::GarbageHeader];

/// The device of a client. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Memory(MemoryStorage),
    Disk(Arc<Device>),
}

/// A disk for the log, and a directory for the state.
#[derive(Debug)]
pub(crate) struct Device {
    disk: SimDisk,
    directory: TempDir,
    /// The state's files as they were before.
    earlier: std::sync::Mutex<Image>,
}

impl Storage {
    /// A disk whose faults come from `seed`.
    ///
    /// # Panics
    /// If there is no directory for temporary files.
    pub(crate) fn disk(seed: u64) -> Self {
        // In memory, where that is possible: the state's files outlive no run, and syncing them takes most of its time.
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.expect("a directory for temporary files");
        Self::Disk(Arc::new(Device { disk: SimDisk::new(seed), directory, earlier: Default::default() }))
    }

    pub(crate) fn open_log(&self) -> Result<Box<dyn Eventlog>, EventlogError> {
        Ok(match self {
            Self::Memory(storage) => Box::new(storage.open()),
            Self::Disk(device) => Box::new(RedbEventlog::with_backend(device.disk.open())?),
        })
    }

    /// Gives a store its states.
    pub(crate) fn states(&self, builder: StoreBuilder, knows_extra: bool) -> StoreBuilder {
        match self {
            Self::Memory(_) => builder.states(memory_schema(knows_extra)),
            Self::Disk(device) => {
                builder.states(SqliteStates::new(device.state(), sqlite_schema(knows_extra)))
            }
        }
    }

    /// The process that has the log open is gone; with the power, if `crash`.
    pub(crate) fn kill(&self, crash: bool) {
        match self {
            Self::Disk(device) if crash => drop(device.disk.crash()),
            Self::Disk(device) => device.disk.kill(),
            Self::Memory(_) => {}
        }
    }

    pub(crate) fn device(&self) -> Option<&Device> {
        match self {
            Self::Disk(device) => Some(device),
            Self::Memory(_) => None,
        }
    }
}

impl Device {
    pub(crate) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Damages the state's files, which nobody may have open; tells what was done.
    pub(crate) fn damage_state(&self, chance: &mut fastrand::Rng) -> Option<String> {
        let path = self.state();
        let now = Image::of(&path).ok()?;
        let mut earlier = self.earlier.lock().ok()?;
        let done = match chance.choice(DAMAGE) {
            Some(damage) if chance.f64() < 0.8 => {
                damage.done_to(&now, &earlier, chance)?.write(&path).ok()?;
                format!("{damage:?}")
            }
            _ => {
                SqliteMaterializer::discard(&path).ok()?;
                "deleted".to_owned()
            }
        };
        *earlier = now;
        Some(done)
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state.sqlite")
    }
}
