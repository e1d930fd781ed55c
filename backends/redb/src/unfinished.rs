//! A file that somebody began to make.
//!
//! redb makes a file in two steps, each synced: its length and a header without the magic number, then the magic number.
//! A crash in between leaves a file that redb takes for something else for ever, although nothing was ever stored in it.
//! Such a file is made empty, so that it is begun again.

use std::io;
use std::ops::Bound::Unbounded;

use redb::{BackendError, StorageBackend};

/// The length that redb gives to a new file, in bytes.
const NEW_FILE_BYTES: u64 = 73_728;
/// What a new file's header may fill; the rest is zeros until something is stored.
const HEADER_BYTES: usize = 320;
/// Where the header has redb's magic number, and its page size.
const MAGIC: std::ops::Range<usize> = 0..9;
const PAGE_SIZE: std::ops::Range<usize> = 12..16;

/// Makes the storage empty if it is a new redb file that was not finished.
pub(crate) fn clear(storage: &impl StorageBackend) -> io::Result<()> {
    if !is_unfinished(storage)? {
        return Ok(());
    }
    match storage.try_lock_range(Unbounded, Unbounded) {
        // Somebody is making it just now; redb will say that it is in use.
        Ok(false) => Ok(()),
        Ok(true) => {
            // It may have been finished before it was locked.
            let cleared = is_unfinished(storage).and_then(|is| if is { storage.set_len(0) } else { Ok(()) });
            storage.unlock_range(Unbounded, Unbounded).map_err(io::Error::other)?;
            cleared
        }
        Err(BackendError::Unsupported) => storage.set_len(0),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn is_unfinished(storage: &impl StorageBackend) -> io::Result<bool> {
    let len = storage.len()?;
    if !(MAGIC.end as u64..=NEW_FILE_BYTES).contains(&len) {
        return Ok(false);
    }
    let mut magic = [0; MAGIC.end];
    storage.read(0, &mut magic)?;
    if magic != [0; MAGIC.end] {
        return Ok(false);
    }
    let mut content = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    storage.read(0, &mut content)?;
    Ok(is_empty_database(&content))
}

/// Whether these are zeros, or a header of redb without its magic number and zeros.
fn is_empty_database(content: &[u8]) -> bool {
    let (header, rest) = content.split_at(content.len().min(HEADER_BYTES));
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    is_zero(rest)
        && is_zero(&header[MAGIC])
        && (is_zero(header) || header.get(PAGE_SIZE) == Some(&4096_u32.to_le_bytes()))
}
