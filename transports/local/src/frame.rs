//! Messages on a connection: each with its length before it, as postcard.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::LocalError;

const HEADER: usize = 4;

/// Room that a read finds at least: most messages are small, and an idle connection keeps no more.
const MIN_READ: usize = 2 * 1024;

/// Room is made in such steps, so that a length that is only claimed costs little.
const MAX_RESERVE: usize = 1024 * 1024;

/// A buffer that grew beyond this is given back once it is empty.
pub(crate) const KEPT_BUFFER: usize = 16 * 1024;

/// Reads frames.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    read: R,
    buffer: BytesMut,
    pub(crate) max_bytes: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(read: R, max_bytes: usize) -> Self {
        Self { read, buffer: BytesMut::new(), max_bytes }
    }

    /// The next frame; `None` if the connection has ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, LocalError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return self.end();
            }
        }
    }

    /// As [`Self::next`], but an error once nothing came for `patience`, however little.
    pub(crate) async fn next_within(&mut self, patience: Duration) -> Result<Option<Bytes>, LocalError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            let read = timeout(patience, self.read.read_buf(&mut self.buffer)).await;
            if read.map_err(|_| LocalError::NoAnswer(patience))?? == 0 {
                return self.end();
            }
        }
    }

    /// Takes a whole frame out of the buffer, or makes room for more of it.
    fn take(&mut self) -> Result<Option<Bytes>, LocalError> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else {
            if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BUFFER {
                self.buffer = BytesMut::new();
            }
            self.buffer.reserve(MIN_READ);
            return Ok(None);
        };
        let bytes = u32::from_le_bytes(*header) as usize;
        if bytes > self.max_bytes {
            return Err(LocalError::TooLarge { bytes, max_bytes: self.max_bytes });
        }
        let missing = (HEADER + bytes).saturating_sub(self.buffer.len());
        if missing > 0 {
            self.buffer.reserve(missing.min(MAX_RESERVE));
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(HEADER + bytes).freeze();
        Ok(Some(frame.split_off(HEADER)))
    }

    fn end(&self) -> Result<Option<Bytes>, LocalError> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        Err(LocalError::Broken(std::io::ErrorKind::UnexpectedEof.into()))
    }
}

/// Reads a message; nothing may follow it.
pub(crate) fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, LocalError> {
    match postcard::take_from_bytes(frame) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(LocalError::Protocol("a message is longer than it should be".into())),
        Err(error) => Err(LocalError::protocol(&error)),
    }
}

/// Appends the frame of a message to `buffer`; on an error nothing.
pub(crate) fn encode<T: Serialize>(
    message: &T,
    buffer: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<(), LocalError> {
    let start = buffer.len();
    buffer.extend([0; HEADER]);
    let written =
        postcard::to_io(message, &mut *buffer).map(drop).map_err(|error| LocalError::protocol(&error));
    let bytes = buffer.len() - start - HEADER;
    let checked = written.and_then(|()| match u32::try_from(bytes) {
        Ok(len) if bytes <= max_bytes => Ok(len),
        _ => Err(LocalError::TooLarge { bytes, max_bytes }),
    });
    match checked {
        Ok(len) => {
            buffer[start..start + HEADER].copy_from_slice(&len.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            buffer.truncate(start);
            Err(error)
        }
    }
}

/// The header of a frame of bytes that are no message.
pub(crate) fn header(bytes: u32) -> [u8; HEADER] {
    bytes.to_le_bytes()
}

/// Writes everything, unless the other side takes nothing at all for `patience`.
pub(crate) async fn write_all(
    write: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    patience: Duration,
) -> Result<(), LocalError> {
    while !bytes.is_empty() {
        let written = timeout(patience, write.write(bytes)).await;
        match written.map_err(|_| LocalError::Stalled(patience))?? {
            0 => return Err(LocalError::Broken(std::io::ErrorKind::WriteZero.into())),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> FrameReader<&[u8]> {
        FrameReader::new(bytes, 100)
    }

    #[tokio::test]
    async fn what_was_written_is_read() {
        let mut bytes = Vec::new();
        let messages = ["", "a", "a longer one"];
        for message in messages {
            encode(&message, &mut bytes, 100).unwrap();
        }
        let mut reader = reader(&bytes);
        for message in messages {
            let frame = reader.next().await.unwrap().unwrap();
            assert_eq!(decode::<String>(&frame).unwrap(), message);
        }
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn every_truncation_is_an_error() {
        let mut bytes = Vec::new();
        encode(&"message", &mut bytes, 100).unwrap();
        for len in 1..bytes.len() {
            let error = reader(&bytes[..len]).next().await.unwrap_err();
            assert!(matches!(error, LocalError::Broken(_)), "{len}: {error}");
        }
    }

    #[tokio::test]
    async fn neither_side_passes_the_bound() {
        let mut bytes = b"before".to_vec();
        let error = encode(&"x".repeat(100), &mut bytes, 100).unwrap_err();
        assert!(matches!(error, LocalError::TooLarge { bytes: 101, max_bytes: 100 }), "{error}");
        assert_eq!(bytes, b"before");
        let error = reader(&u32::MAX.to_le_bytes()).next().await.unwrap_err();
        assert!(matches!(error, LocalError::TooLarge { max_bytes: 100, .. }), "{error}");
    }

    #[test]
    fn a_message_with_something_behind_it_is_none() {
        assert!(decode::<u8>(&[7]).is_ok());
        assert!(decode::<u8>(&[7, 7]).is_err());
        assert!(decode::<u8>(&[]).is_err());
    }
}
