//! What a disk does to one process.

use fastrand::Rng;

use crate::{FaultRates, SimDisk};

/// What a disk does to the process that opened it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Fine,
    /// The process dies at some operation.
    Dies,
    /// Operations of one kind or all kinds fail now and then.
    Fails,
    /// The disk fills up.
    Full,
}

impl Fate {
    /// One of them; what hurts comes more often.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let fates = [Self::Fine, Self::Dies, Self::Dies, Self::Fails, Self::Fails, Self::Full];
        fates[rng.usize(..fates.len())]
    }

    /// Makes the disk do so from now on. A process that works `pace` times as much as a small one gets that much further.
    /// [`SimDisk::heal`] ends it.
    pub fn strike(self, disk: &SimDisk, pace: u64, rng: &mut Rng) {
        match self {
            Self::Fine => {}
            Self::Dies => disk.crash_at(rng.u64(..100 * pace)),
            Self::Fails => disk.set_rates(draw_rates(rng)),
            Self::Full => disk.set_capacity(Some(disk.len() + rng.u64(..400_000 * pace))),
        }
    }
}

fn draw_rates(rng: &mut Rng) -> FaultRates {
    let rate = [0.01, 0.05, 0.2][rng.usize(..3)];
    match rng.u8(..5) {
        0 => FaultRates { write: rate, ..FaultRates::NONE },
        1 => FaultRates { partial_write: rate, ..FaultRates::NONE },
        2 => FaultRates { sync: rate, ..FaultRates::NONE },
        3 => FaultRates { read: rate, ..FaultRates::NONE },
        _ => FaultRates::all(rate),
    }
}
