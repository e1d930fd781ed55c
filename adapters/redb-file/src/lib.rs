//! A redb file that somebody began to make, of a client's log or of a server's.
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

/// Makes the storage empty if it is a new redb file that was not finished. Call it before redb opens the storage.
///
/// # Errors
/// Those of the storage. If somebody else has it locked, nothing is done, and redb will say that it is in use.
pub fn clear_unfinished(storage: &impl StorageBackend) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use redb::Database;

    use super::*;

    /// Storage in memory in which the first so many writes and syncs succeed.
    #[derive(Clone, Debug, Default)]
    struct Dying {
        content: Arc<Mutex<Vec<u8>>>,
        left: Arc<AtomicU64>,
    }

    impl Dying {
        fn step(&self) -> io::Result<()> {
            let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            left.map(drop).map_err(|_| io::Error::other("dead"))
        }
    }

    impl StorageBackend for Dying {
        fn len(&self) -> io::Result<u64> {
            Ok(self.content.lock().unwrap().len() as u64)
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            out.copy_from_slice(&self.content.lock().unwrap()[offset as usize..][..out.len()]);
            Ok(())
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.step()?;
            self.content.lock().unwrap().resize(len as usize, 0);
            Ok(())
        }
        fn sync_data(&self) -> io::Result<()> {
            self.step()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.step()?;
            self.content.lock().unwrap()[offset as usize..][..data.len()].copy_from_slice(data);
            Ok(())
        }
    }

    #[test]
    fn whenever_the_making_of_a_file_is_cut_short_it_is_begun_again() {
        let mut cleared = 0;
        for steps in 0.. {
            let storage = Dying::default();
            storage.left.store(steps, Ordering::SeqCst);
            let made = Database::builder().create_with_backend(storage.clone());
            assert!(
                [0, NEW_FILE_BYTES].contains(&storage.len().unwrap()),
                "redb makes files of another length"
            );
            storage.left.store(u64::MAX, Ordering::SeqCst);
            let is_made = made.is_ok();
            drop(made);
            clear_unfinished(&storage).unwrap();
            cleared += u32::from(steps > 0 && storage.len().unwrap() == 0);
            Database::builder().create_with_backend(storage).unwrap();
            if is_made {
                break;
            }
        }
        assert!(cleared > 1, "redb makes files in another way than this knows");
    }

    #[test]
    fn what_may_be_somebody_elses_stays() {
        let mut page = vec![0; 8192];
        page[4096] = 1;
        for content in [page, b"\0\0\0\0\0\0\0\0\0data".to_vec(), vec![0; NEW_FILE_BYTES as usize + 1]] {
            let storage = Dying { content: Arc::new(Mutex::new(content.clone())), left: Arc::default() };
            clear_unfinished(&storage).unwrap();
            assert_eq!(*storage.content.lock().unwrap(), content);
        }
    }
}
