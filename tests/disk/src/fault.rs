//! Which faults a disk has, and which it had.

/// How often operations fail by chance: probabilities from 0 to 1, per operation. 1 fails all of them until it is
/// taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultRates {
    /// A write fails and changes nothing.
    pub write: f64,
    /// A write fails after a part of it was written.
    pub partial_write: f64,
    /// A sync fails. As on Linux, what it was to make durable is then durable or lost, part by part; later syncs succeed
    /// and do not bring it back.
    pub sync: f64,
    /// A read fails.
    pub read: f64,
}

impl FaultRates {
    /// No fault by chance.
    pub const NONE: Self = Self { write: 0.0, partial_write: 0.0, sync: 0.0, read: 0.0 };

    /// The same rate for every kind.
    #[must_use]
    pub const fn all(rate: f64) -> Self {
        Self { write: rate, partial_write: rate, sync: rate, read: rate }
    }
}

/// What happened on a disk, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskStats {
    /// Reads that were asked for.
    pub reads: u64,
    /// Writes and changes of length that were asked for.
    pub writes: u64,
    /// Syncs that were asked for.
    pub syncs: u64,
    /// Writes and changes of length that failed for want of room.
    pub full: u64,
    /// Writes and changes of length that failed whole.
    pub failed_writes: u64,
    /// Writes that failed after a part.
    pub partial_writes: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// Syncs that were reported and not done.
    pub lies: u64,
    /// Times that the process died at a given operation.
    pub deaths: u64,
    /// Power cuts.
    pub crashes: u64,
    /// Changes that were not synced at a power cut, or at a failed sync.
    pub at_risk: u64,
    /// Operations that a process tried that was gone already.
    pub zombie_operations: u64,
}

impl DiskStats {
    /// The faults of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            writes: self.writes + other.writes,
            syncs: self.syncs + other.syncs,
            full: self.full + other.full,
            failed_writes: self.failed_writes + other.failed_writes,
            partial_writes: self.partial_writes + other.partial_writes,
            failed_syncs: self.failed_syncs + other.failed_syncs,
            failed_reads: self.failed_reads + other.failed_reads,
            lies: self.lies + other.lies,
            deaths: self.deaths + other.deaths,
            crashes: self.crashes + other.crashes,
            at_risk: self.at_risk + other.at_risk,
            zombie_operations: self.zombie_operations + other.zombie_operations,
        }
    }
}
