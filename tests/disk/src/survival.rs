//! Which changes outlive a power cut that no sync promised.

use fastrand::Rng;

use crate::change::{Change, PAGE, SECTOR};

/// What a power cut leaves of the changes since the last sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None of them.
    Nothing,
    /// All of them, as when only the process ends.
    Everything,
    /// The first ones: a disk that writes in order.
    Prefix,
    /// Any of them, each whole.
    Subset,
    /// Any part of any of them, in pages of 4096 bytes.
    Pages,
    /// Any part of any of them, in sectors of 512 bytes.
    Sectors,
}

impl Survival {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Nothing, Self::Everything, Self::Prefix, Self::Subset, Self::Pages, Self::Sectors];

    /// The changes that survive, in their order.
    pub(crate) fn choose(self, changes: &[Change], rng: &mut Rng) -> Vec<Change> {
        let each_part = |unit, rng: &mut Rng| {
            changes.iter().flat_map(|change| change.parts(unit)).filter(|_| rng.bool()).collect()
        };
        match self {
            Self::Nothing => Vec::new(),
            Self::Everything => changes.to_vec(),
            Self::Prefix => changes[..rng.usize(..=changes.len())].to_vec(),
            Self::Subset => changes.iter().filter(|_| rng.bool()).cloned().collect(),
            Self::Pages => each_part(PAGE, rng),
            Self::Sectors => each_part(SECTOR, rng),
        }
    }
}
