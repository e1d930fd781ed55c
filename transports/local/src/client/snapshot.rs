//! The leader's state, received whole before anybody sees any of it: a truncated one is an error, never a state.

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use livestore_traits::{LinkError, SeqNum, Snapshot};

use super::Connection;
use crate::LocalError;
use crate::message::Outcome;

impl Connection {
    pub(super) async fn snapshot(mut self, head: SeqNum, bytes: u64) -> Result<Snapshot, LinkError> {
        let max_bytes = self.config.max_snapshot_bytes;
        if bytes > max_bytes {
            let why = format!("it has {bytes} bytes, but at most {max_bytes} are allowed");
            return Err(LocalError::Snapshot(why).into());
        }
        let mut received = Pieces::default();
        let mut missing = bytes;
        loop {
            let piece = self.frames.next_within(self.config.answer_timeout).await?;
            let piece = piece.ok_or(LinkError::Gone)?;
            if piece.is_empty() {
                break;
            }
            let more = || LocalError::Snapshot("it has more bytes than announced".into());
            missing = missing.checked_sub(piece.len() as u64).ok_or_else(more)?;
            received.0.push_back(piece);
        }
        self.message::<Outcome>().await?.map_err(LocalError::Snapshot)?;
        if missing > 0 {
            return Err(LocalError::Snapshot(format!("{missing} of {bytes} bytes are missing")).into());
        }
        Ok(Snapshot { head, len: bytes, bytes: Box::new(received) })
    }
}

/// The pieces of a state. Each is given back once it was read, so that a state and its copy are never there both whole.
#[derive(Debug, Default)]
struct Pieces(VecDeque<Bytes>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.0.front_mut() else { return Ok(0) };
        let count = piece.len().min(buffer.len());
        piece.copy_to_slice(&mut buffer[..count]);
        if piece.is_empty() {
            self.0.pop_front();
        }
        Ok(count)
    }
}
