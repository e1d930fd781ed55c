//! A simulated disk for tests of what must survive one, and damage to the files of SQLite.
//!
//! [`SimDisk`] is a disk in memory that keeps apart what was synced and what was only written. A power cut
//! ([`SimDisk::crash`]) leaves of the latter what its seed says: nothing, a prefix, any part, or torn writes. It fails
//! reads, writes and syncs, fills up, and dies at a given operation. [`SimDisk::open`] gives a
//! [`redb::StorageBackend`]; opening it again, as a new process would, makes every earlier handle a zombie that changes
//! nothing any more.
//!
//! ```text
//!            write, set_len            sync
//!   process ───────────────▶ cached ──────────▶ durable
//!                              │                   │
//!   a process that dies: ──────┘ all of it         │
//!   a power cut: some of it, and all of it that is ┘
//! ```
//!
//! [`files`] does to the files of a SQLite database what a crash without full synchronisation, a full disk or a careless
//! restore might. [`seeds`] is how many a test tries.
//!
//! # Example
//! ```
//! use livestore_disk::{FaultRates, SimDisk};
//! use redb::StorageBackend;
//!
//! let disk = SimDisk::new(42);
//! let file = disk.open();
//! file.set_len(4096)?;
//! file.write(0, b"kept")?;
//! file.sync_data()?;
//! file.write(0, b"lost, or not, or in part")?;
//! disk.crash();
//!
//! let again = disk.open();
//! let mut found = [0; 4];
//! again.read(0, &mut found)?;
//! assert!(&found == b"kept" || &found == b"lost");
//! assert!(file.write(0, b"from the dead").is_err(), "the handle is of a process that is gone");
//! disk.set_rates(FaultRates { sync: 1.0, ..FaultRates::NONE });
//! assert!(again.sync_data().is_err());
//! # std::io::Result::Ok(())
//! ```

mod change;
mod fate;
mod fault;
pub mod files;
mod search;
mod sim_disk;
mod sim_file;
mod survival;

pub use fate::Fate;
pub use fault::{DiskStats, FaultRates};
pub use search::seeds;
pub use sim_disk::{Crash, DiskCopy, SimDisk};
pub use sim_file::SimFile;
pub use survival::Survival;
