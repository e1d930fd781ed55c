//! A state as a stream of bytes: a magic number, a checksum, and what postcard makes of it.

use std::io::{Cursor, Read};

use livestore_traits::{BoxError, Event, MaterializeError, Position, Quarantined, SeqNum, Snapshot};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"lvst-me1";
const HEADER: usize = 16;

/// What a snapshot holds; `S` is a state or a reference to one.
#[derive(Serialize, Deserialize)]
pub(crate) struct Content<S> {
    pub definitions: String,
    pub head: SeqNum,
    pub floor: Position,
    pub settled_state: S,
    /// The events after the settled state that had an effect.
    pub unsettled: Vec<Event>,
    pub quarantine: Vec<Quarantined>,
}

pub(crate) fn write<S: Serialize>(content: &Content<S>) -> Result<Snapshot, MaterializeError> {
    let body = postcard::to_stdvec(content).map_err(|error| MaterializeError::Storage(error.into()))?;
    let bytes = [MAGIC.as_slice(), &checksum(&body).to_le_bytes(), &body].concat();
    Ok(Snapshot { head: content.head, len: bytes.len() as u64, bytes: Box::new(Cursor::new(bytes)) })
}

pub(crate) fn read<S: DeserializeOwned>(mut snapshot: Snapshot) -> Result<Content<S>, MaterializeError> {
    let corrupt = |error: BoxError| MaterializeError::Corrupt(error);
    let mut bytes = Vec::new();
    snapshot.bytes.read_to_end(&mut bytes).map_err(|error| corrupt(error.into()))?;
    let (header, body) =
        bytes.split_at_checked(HEADER).ok_or_else(|| corrupt("the snapshot is truncated".into()))?;
    if &header[..8] != MAGIC {
        return Err(corrupt("this is no snapshot of a state in memory".into()));
    }
    if header[8..] != checksum(body).to_le_bytes() {
        return Err(corrupt("the snapshot is truncated or damaged".into()));
    }
    postcard::from_bytes(body).map_err(|error| corrupt(error.into()))
}

/// FNV-1a: against accidents, not against forgery.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
