//! A state as a stream of bytes: a header, then the image of a database.
//!
//! ```text
//! magic "lvst-sq1" · length of the image (u64) · checksum of the image (u64) · image
//! ```
//!
//! Numbers are little-endian. Which definitions made the state stands inside the image.

use std::io::{self, Read};

use livestore_traits::{MaterializeError, SeqNum, Snapshot};
use rusqlite::Connection;

use crate::error::storage;

const MAGIC: &[u8; 8] = b"lvst-sq1";
const HEADER: usize = 24;

/// Where an SQLite image says whether it is in WAL mode. SQLite opens no such image in memory.
const JOURNAL_MODE_BYTES: std::ops::Range<usize> = 18..20;
const ROLLBACK_JOURNAL: u8 = 1;

/// The content of `connection`, which must be in memory.
pub(crate) fn write(connection: &mut Connection, head: SeqNum) -> Result<Snapshot, MaterializeError> {
    let mut bytes = vec![0; HEADER];
    bytes.extend_from_slice(&connection.serialize("main").map_err(storage)?);
    let image = &mut bytes[HEADER..];
    if let Some(mode) = image.get_mut(JOURNAL_MODE_BYTES) {
        mode.fill(ROLLBACK_JOURNAL);
    }
    let (len, sum) = (image.len() as u64, checksum(image));
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&len.to_le_bytes());
    bytes[16..24].copy_from_slice(&sum.to_le_bytes());
    Ok(Snapshot { head, len: bytes.len() as u64, bytes: Box::new(io::Cursor::new(bytes)) })
}

/// A connection in memory with the content of `snapshot`.
pub(crate) fn read(mut snapshot: Snapshot) -> Result<Connection, MaterializeError> {
    let corrupt = |reason: &str| MaterializeError::Corrupt(reason.to_owned().into());
    let mut header = [0; HEADER];
    snapshot.bytes.read_exact(&mut header).map_err(|error| MaterializeError::Corrupt(error.into()))?;
    let [magic @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = header;
    if &magic != MAGIC {
        return Err(corrupt("this is no snapshot of a state in SQLite"));
    }
    let number =
        |at: usize| header[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let mut image = Vec::new();
    snapshot
        .bytes
        .take(number(8))
        .read_to_end(&mut image)
        .map_err(|error| MaterializeError::Corrupt(error.into()))?;
    if image.len() as u64 != number(8) || checksum(&image) != number(16) {
        return Err(corrupt("the snapshot is truncated or damaged"));
    }
    let mut connection = Connection::open_in_memory().map_err(storage)?;
    connection.deserialize_read_exact("main", image.as_slice(), image.len(), true).map_err(storage)?;
    Ok(connection)
}

/// FNV-1a over words of eight bytes: against accidents, not against forgery, and fast enough not to be noticed beside
/// the copying.
fn checksum(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        sum = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME).rotate_left(29);
    }
    rest.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(PRIME))
}
