//! What a disk is asked to do between two syncs.

/// What disks write at once or not at all, in bytes.
pub(crate) const SECTOR: usize = 512;
/// What systems usually write back at once, in bytes.
pub(crate) const PAGE: usize = 4096;

/// A change that a power cut may take back.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    pub(crate) fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                // A write may outlive the change of length before it.
                if image.len() < offset + bytes.len() {
                    image.resize(offset + bytes.len(), 0);
                }
                image[*offset..][..bytes.len()].copy_from_slice(bytes);
            }
            Self::SetLen(len) => image.resize(*len, 0),
        }
    }

    /// The change as parts that can be lost one by one, each within one unit of the disk.
    pub(crate) fn parts(&self, unit: usize) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else { return vec![self.clone()] };
        let (mut parts, mut from) = (Vec::new(), 0);
        while from < bytes.len() {
            let to = bytes.len().min(from + unit - (offset + from) % unit);
            parts.push(Self::Write { offset: offset + from, bytes: bytes[from..to].to_vec() });
            from = to;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_where_sectors_do_and_are_the_whole() {
        let write = Change::Write { offset: 500, bytes: (0..=255).cycle().take(1_100).collect() };
        let parts = write.parts(SECTOR);
        let starts: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Change::Write { offset, .. } => *offset,
                Change::SetLen(_) => panic!("a write has no length in it"),
            })
            .collect();
        assert_eq!(starts, [500, 512, 1024, 1536]);
        let (mut whole, mut pieced) = (Vec::new(), Vec::new());
        write.apply(&mut whole);
        parts.iter().for_each(|part| part.apply(&mut pieced));
        assert_eq!(whole, pieced);
    }
}
