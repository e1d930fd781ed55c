//! Damage that redb does not report but panics on.
//!
//! redb trusts a file that was closed in order, and panics where damage done since then leads it astray. A damaged file
//! is bad input and must not take the process down, so a file that ends early (the damage that really happens: a copy
//! that was interrupted, a disk that was full) is recognised before redb sees it, and what is left is caught.

use std::any::Any;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use livestore_traits::EventlogError;

use crate::error::{corrupt, failed};

/// With this a redb file begins.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// Magic number, flags, padding, and five numbers about the layout.
const HEADER_BYTES: usize = 32;

/// Runs what calls redb; a panic becomes [`EventlogError::Corrupt`].
pub(crate) fn catch<T>(act: impl FnOnce() -> Result<T, EventlogError>) -> Result<T, EventlogError> {
    // Unwind safe: after a panic redb's own locks are poisoned, and whatever uses them next is an error too.
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(corrupt(message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    format!("redb lost its way: {}", text.unwrap_or("no reason given"))
}

/// Checks that a redb file is as long as its header says. What is empty or no redb file is left to redb.
pub(crate) fn check_length(mut file: File) -> Result<(), EventlogError> {
    let mut header = [0; HEADER_BYTES];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    let len = file.metadata().map_err(failed)?.len();
    match expected_length(&header) {
        Some(expected) if len < expected => {
            Err(corrupt(format!("the file ends after {len} of {expected} bytes")))
        }
        _ => Ok(()),
    }
}

/// One page for the header, then regions of equal length, the last of which may be shorter.
fn expected_length(header: &[u8; HEADER_BYTES]) -> Option<u64> {
    let layout = header.strip_prefix(MAGIC)?.get(3..)?;
    let mut numbers =
        layout.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let mut next = || numbers.next().map(u64::from);
    let (page_size, header_pages, region_pages) = (next()?, next()?, next()?);
    let (full_regions, last_region_pages) = (next()?, next()?);
    let last_region = if last_region_pages > 0 { header_pages + last_region_pages } else { 0 };
    let pages = full_regions.saturating_mul(header_pages + region_pages).saturating_add(1 + last_region);
    Some(pages.saturating_mul(page_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_the_length_that_files_have() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.redb");
        drop(redb::Database::create(&path).unwrap());
        let bytes = std::fs::read(&path).unwrap();
        let header = bytes[..HEADER_BYTES].try_into().unwrap();
        assert_eq!(expected_length(&header), Some(bytes.len() as u64));
        assert_eq!(expected_length(&[7; HEADER_BYTES]), None);
        let absurd = [MAGIC, &[0; 3], &[0xff; 20]].concat().try_into().unwrap();
        assert_eq!(expected_length(&absurd), Some(u64::MAX));
    }

    #[test]
    fn a_panic_becomes_an_error_that_repeats_it() {
        let panicked: Result<(), _> = catch(|| panic!("page {} is missing", 7));
        match panicked {
            Err(EventlogError::Corrupt(source)) => assert!(source.to_string().ends_with("page 7 is missing")),
            other => panic!("{other:?}"),
        }
    }
}
