//! The machine of the server: what its log is stored on.

use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use livestore_backend_memory::{LogConfig, MemoryBackend};
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_disk::{DiskCopy, SimDisk};
use livestore_traits::{BackendProvider, StoreId, SyncBackend};

use crate::plan::Layer;

/// The machine of the server.
pub(crate) struct Machine {
    config: LogConfig,
    storage: Storage,
}

enum Storage {
    /// What is in memory outlives the server: it only loses its connections.
    Memory(Arc<dyn SyncBackend>),
    Disk {
        disk: SimDisk,
        copies: Vec<(usize, DiskCopy)>,
        lies: bool,
    },
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl Machine {
    /// A new machine, with no log.
    pub(crate) fn new(layer: Layer, config: LogConfig, seed: u64, lies: bool) -> Self {
        let storage = match layer {
            Layer::Memory | Layer::Network => {
                Storage::Memory(Arc::new(MemoryBackend::with_config(config.clone())))
            }
            Layer::Disk => {
                let disk = SimDisk::new(seed);
                disk.set_lying(lies);
                Storage::Disk { disk, copies: Vec::new(), lies }
            }
        };
        Self { config, storage }
    }

    /// Another machine of the same kind, with no log.
    pub(crate) fn replacement(&self, seed: u64) -> Self {
        let (layer, lies) = match &self.storage {
            Storage::Memory(_) => (Layer::Memory, false),
            Storage::Disk { lies, .. } => (Layer::Disk, *lies),
        };
        Self::new(layer, self.config.clone(), seed, lies)
    }

    /// Opens the log, as a server that starts does.
    pub(crate) fn open(&self) -> Result<Arc<dyn SyncBackend>, String> {
        match &self.storage {
            Storage::Memory(backend) => Ok(backend.clone()),
            Storage::Disk { disk, .. } => {
                let config = RedbConfig { log: self.config.clone(), ..RedbConfig::default() };
                let backends = RedbBackends::open_device_inline(disk.open(), config)
                    .map_err(|error| error.to_string())?;
                let store = StoreId::new("notebook").expect("a good store id");
                let opened = backends.open(&store).now_or_never().ok_or("it waits")?;
                opened.map_err(|error| error.to_string())
            }
        }
    }

    /// The server's process is gone; with the power, if `crash`.
    pub(crate) fn kill(&self, crash: bool) {
        match &self.storage {
            Storage::Disk { disk, .. } if crash => drop(disk.crash()),
            Storage::Disk { disk, .. } => disk.kill(),
            Storage::Memory(_) => {}
        }
    }

    pub(crate) fn disk(&self) -> Option<&SimDisk> {
        match &self.storage {
            Storage::Disk { disk, .. } => Some(disk),
            Storage::Memory(_) => None,
        }
    }

    /// Copies the disk of a server that is down, whose log has `len` events.
    pub(crate) fn back_up(&mut self, len: usize) {
        if let Storage::Disk { disk, copies, .. } = &mut self.storage {
            copies.push((len, disk.copy()));
        }
    }

    /// Puts the last copy back, without telling anybody; returns how many events it has.
    pub(crate) fn roll_back(&mut self) -> Option<usize> {
        let Storage::Disk { disk, copies, .. } = &mut self.storage else { return None };
        let (len, copy) = copies.pop()?;
        disk.restore(&copy);
        Some(len)
    }
}
