//! The disk: what is on it, what is only in the cache, and who may still write.
//!
//! **What is modelled as on a real one.** Reads see what was written. A sync makes durable what was written before it,
//! whoever wrote it. A process that dies takes nothing away; a power cut does. After a failed sync the cache is no longer
//! trusted: who opens the disk again reads what is really there. (Linux may go on showing pages that never reached the
//! disk; no program can defend itself against that by what it reads.)

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::change::{Change, SECTOR};
use crate::{DiskStats, FaultRates, SimFile, Survival};

/// A disk with one file, in memory. Clones are handles of the same disk.
///
/// Deterministic: the same operations in the same order meet the same faults and losses for the same seed.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<Disk>>);

/// What a power cut did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Which changes were to survive.
    pub survival: Survival,
    /// How many changes no sync had covered.
    pub at_risk: usize,
}

/// The content of a disk at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCopy(Vec<u8>);

#[derive(Debug)]
pub(crate) struct Disk {
    /// What reads see.
    cached: Vec<u8>,
    /// What outlives a power cut for sure.
    durable: Vec<u8>,
    /// The changes that lead from one to the other, unless a sync failed.
    unsynced: Vec<Change>,
    /// Whether `cached` shows what a failed sync has lost.
    cache_is_stale: bool,
    /// The process that may use the disk.
    epoch: u64,
    /// Writes, changes of length and syncs that the process begins before it is dead.
    lifetime: Option<u64>,
    capacity: Option<u64>,
    rates: FaultRates,
    lies: bool,
    rng: Rng,
    stats: DiskStats,
}

impl SimDisk {
    /// An empty disk without faults, whose chance begins with `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            cached: Vec::new(),
            durable: Vec::new(),
            unsynced: Vec::new(),
            cache_is_stale: false,
            epoch: 0,
            lifetime: None,
            capacity: None,
            rates: FaultRates::NONE,
            lies: false,
            rng: Rng::with_seed(seed),
            stats: DiskStats::default(),
        })))
    }

    /// Opens the disk as a new process. Every earlier handle is a zombie from now on, and a [`Self::crash_at`] that was
    /// set, or has struck, is over.
    #[must_use]
    pub fn open(&self) -> SimFile {
        self.kill();
        let mut disk = self.lock();
        if std::mem::take(&mut disk.cache_is_stale) {
            disk.cached = disk.durable.clone();
            let Disk { cached, unsynced, .. } = &mut *disk;
            unsynced.iter().for_each(|change| change.apply(cached));
        }
        SimFile { disk: self.clone(), epoch: disk.epoch }
    }

    /// The process ends, the machine stays: what was written is there, whether it was synced or not.
    pub fn kill(&self) {
        let mut disk = self.lock();
        disk.epoch += 1;
        disk.lifetime = None;
    }

    /// The power goes: of what was not synced, there is what chance leaves.
    pub fn crash(&self) -> Crash {
        let survival = self.lock().rng.choice(Survival::ALL).unwrap_or(Survival::Nothing);
        self.crash_with(survival)
    }

    /// The power goes, and of what was not synced this much survives.
    pub fn crash_with(&self, survival: Survival) -> Crash {
        self.kill();
        let mut disk = self.lock();
        let at_risk = disk.unsynced.len();
        disk.stats.crashes += 1;
        disk.settle(survival);
        disk.cached = disk.durable.clone();
        disk.cache_is_stale = false;
        Crash { survival, at_risk }
    }

    /// The process dies at the `n`th write, change of length or sync from now on, counted from 0: that one (a write may
    /// be done in part) and every operation after it fail, until the disk is opened again.
    pub fn crash_at(&self, n: u64) {
        self.lock().lifetime = Some(n.saturating_add(1));
    }

    /// Whether the operation of [`Self::crash_at`] was reached.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().lifetime == Some(0)
    }

    /// How often operations fail from now on.
    pub fn set_rates(&self, rates: FaultRates) {
        self.lock().rates = rates;
    }

    /// The room on the disk, in bytes; `None` is no bound. What is there already stays.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Ends all faults by chance and all want of room.
    pub fn heal(&self) {
        self.set_rates(FaultRates::NONE);
        self.set_capacity(None);
    }

    /// Whether syncs are reported and not done: a disk on which nothing can be built, to show that a checker notices.
    pub fn set_lying(&self, lies: bool) {
        self.lock().lies = lies;
    }

    /// Bytes on the disk, as a reader would see them.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.lock().cached.len() as u64
    }

    /// Whether there is nothing on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> DiskStats {
        self.lock().stats
    }

    /// What a program that copies the file would get.
    #[must_use]
    pub fn copy(&self) -> DiskCopy {
        DiskCopy(self.lock().cached.clone())
    }

    /// Puts a copy in place of what is there, durably. Every earlier handle is a zombie from now on.
    pub fn restore(&self, copy: &DiskCopy) {
        self.kill();
        let mut disk = self.lock();
        disk.cached = copy.0.clone();
        disk.durable = copy.0.clone();
        disk.unsynced.clear();
        disk.cache_is_stale = false;
    }

    /// The disk on behalf of a process, if it still lives.
    pub(crate) fn on_behalf_of(&self, epoch: u64) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.lock();
        if disk.epoch == epoch && disk.lifetime != Some(0) {
            return Ok(disk);
        }
        disk.stats.zombie_operations += 1;
        Err(io::Error::other("the process is gone"))
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        // Whatever panicked, no change is left half made.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    pub(crate) fn len(&self) -> u64 {
        self.cached.len() as u64
    }

    pub(crate) fn read(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.stats.reads += 1;
        if self.strikes(self.rates.read) {
            self.stats.failed_reads += 1;
            return Err(io::Error::other("the read failed"));
        }
        let offset = place(offset)?;
        let found = offset.checked_add(out.len()).and_then(|end| self.cached.get(offset..end));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.stats.writes += 1;
        let start = place(offset)?;
        if self.dies() {
            self.write_part(start, bytes);
            return Err(io::Error::other("the process died"));
        }
        self.check_room(offset + bytes.len() as u64)?;
        if self.strikes(self.rates.write) {
            self.stats.failed_writes += 1;
            return Err(io::Error::other("the write failed"));
        }
        if self.strikes(self.rates.partial_write) {
            self.stats.partial_writes += 1;
            self.write_part(start, bytes);
            return Err(io::Error::other("the write failed half way"));
        }
        self.change(Change::Write { offset: start, bytes: bytes.to_vec() });
        Ok(())
    }

    pub(crate) fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.stats.writes += 1;
        if self.dies() {
            return Err(io::Error::other("the process died"));
        }
        if len > self.len() {
            self.check_room(len)?;
        }
        if self.strikes(self.rates.write) {
            self.stats.failed_writes += 1;
            return Err(io::Error::other("the length could not be changed"));
        }
        self.change(Change::SetLen(place(len)?));
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.stats.syncs += 1;
        if self.dies() {
            return Err(io::Error::other("the process died"));
        }
        if self.strikes(self.rates.sync) {
            self.stats.failed_syncs += 1;
            let survival = self.rng.choice(Survival::ALL).unwrap_or(Survival::Nothing);
            self.settle(survival);
            self.cache_is_stale = true;
            return Err(io::Error::other("the sync failed"));
        }
        if self.lies {
            self.stats.lies += 1;
            return Ok(());
        }
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.unsynced.push(change);
    }

    /// The first sectors of a write.
    fn write_part(&mut self, offset: usize, bytes: &[u8]) {
        let sectors = self.rng.usize(..=bytes.len() / SECTOR);
        if sectors > 0 {
            self.change(Change::Write { offset, bytes: bytes[..sectors * SECTOR].to_vec() });
        }
    }

    /// Decides what of the unsynced changes is durable. The rest is lost for good.
    fn settle(&mut self, survival: Survival) {
        self.stats.at_risk += self.unsynced.len() as u64;
        for change in survival.choose(&self.unsynced, &mut self.rng) {
            change.apply(&mut self.durable);
        }
        self.unsynced.clear();
    }

    /// Counts an operation; tells whether the process dies at it.
    fn dies(&mut self) -> bool {
        match &mut self.lifetime {
            None => false,
            Some(left) => {
                *left = left.saturating_sub(1);
                let dies = *left == 0;
                self.stats.deaths += u64::from(dies);
                dies
            }
        }
    }

    fn check_room(&mut self, end: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if end > capacity => {
                self.stats.full += 1;
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn strikes(&mut self, rate: f64) -> bool {
        // Without a rate nothing is drawn, so that switching one kind of fault on leaves the others where they were.
        rate > 0.0 && self.rng.f64() < rate
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}
