//! The body of an HTTP answer: a JSON array of frames, taken apart while it arrives.
//!
//! The server sends all of a log at once, however long it is. A reader of this keeps one frame of it.

use bytes::{Buf, Bytes, BytesMut};

use crate::DecodeError;

/// Cuts the elements out of a JSON array that comes in pieces. Whether an element is valid JSON shows when it is decoded.
#[derive(Debug)]
pub struct FrameArray {
    buffer: BytesMut,
    /// How much of `buffer` has been looked at.
    scanned: usize,
    place: Place,
    max_frame_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the array.
    Before,
    /// Where an element may begin; after a comma it must.
    Between,
    /// In an element, this deep in brackets.
    Inside { depth: usize, is_string: bool, is_escaped: bool },
    /// After the array.
    After,
}

impl FrameArray {
    /// Elements may have up to `max_frame_bytes` bytes.
    #[must_use]
    pub fn new(max_frame_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, place: Place::Before, max_frame_bytes }
    }

    /// Takes a piece. What is complete should be taken out before the next one.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next element that is complete.
    ///
    /// # Errors
    /// [`DecodeError`] if this is no array of objects, or an element is too large.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        while let Some(&byte) = self.buffer.get(self.scanned) {
            match self.place {
                Place::Inside { depth, is_string, is_escaped } => {
                    self.scanned += 1;
                    if self.scanned > self.max_frame_bytes {
                        return Err(DecodeError::new("a frame is too large"));
                    }
                    self.place = match (is_string, byte) {
                        (true, _) if is_escaped => {
                            Place::Inside { depth, is_string: true, is_escaped: false }
                        }
                        (true, b'\\') => Place::Inside { depth, is_string: true, is_escaped: true },
                        (_, b'"') => Place::Inside { depth, is_string: !is_string, is_escaped: false },
                        (false, b'{' | b'[') => Place::Inside { depth: depth + 1, is_string, is_escaped },
                        (false, b'}' | b']') if depth == 1 => {
                            self.place = Place::Between;
                            let frame = self.buffer.split_to(self.scanned).freeze();
                            self.scanned = 0;
                            return Ok(Some(frame));
                        }
                        (false, b'}' | b']') => Place::Inside { depth: depth - 1, is_string, is_escaped },
                        _ => self.place,
                    };
                }
                place => self.place = outside(place, byte, &mut self.buffer)?,
            }
        }
        Ok(None)
    }

    /// Checks that the array is complete.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.place == Place::After {
            Ok(())
        } else {
            Err(DecodeError::new("the array of frames ends early"))
        }
    }
}

/// Steps over one byte between elements, or to the first one of an element.
fn outside(place: Place, byte: u8, buffer: &mut BytesMut) -> Result<Place, DecodeError> {
    let next = match (place, byte) {
        (_, b' ' | b'\t' | b'\r' | b'\n') => place,
        (Place::Between, b'{') => return Ok(Place::Inside { depth: 0, is_string: false, is_escaped: false }),
        // Where commas are missing or too many does not matter: frames are told apart by their braces.
        (Place::Before, b'[') | (Place::Between, b',') => Place::Between,
        (Place::Between, b']') => Place::After,
        _ => return Err(DecodeError::new("it is no array of frames")),
    };
    buffer.advance(1);
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(text: &str, piece_len: usize) -> Result<Vec<String>, DecodeError> {
        let mut array = FrameArray::new(30);
        let mut frames = Vec::new();
        for piece in text.as_bytes().chunks(piece_len) {
            array.feed(piece);
            while let Some(frame) = array.next_frame()? {
                frames.push(String::from_utf8(frame.to_vec()).unwrap());
            }
        }
        array.finish()?;
        Ok(frames)
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let elements = [r#"{"a":[{"}":"]"}]}"#, "{}", r#"{"s":"\"}{\\\\"}"#, r#"{"ü":1}"#];
        let text = format!(" [ {} ]\n", elements.join(" ,\t"));
        for piece_len in 1..=text.len() {
            assert_eq!(frames(&text, piece_len).unwrap(), elements);
        }
        assert_eq!(frames("[]", 1).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "[", "[{}", "[{}]x", "{}", "[1]", "[\"a\"]", "[[]]", "Invalid path", "[{\"a\":1}, 2]"]
        {
            assert!(frames(text, 3).is_err(), "{text}");
        }
    }

    #[test]
    fn a_frame_is_at_most_as_large_as_allowed() {
        // `frames` allows 30 bytes, 8 of which are not the text.
        let of = |len: usize| format!("[{{\"a\":\"{}\"}}]", "x".repeat(len - 8));
        assert!(frames(&of(30), 7).is_ok());
        for len in [31, 32, 48] {
            assert!(frames(&of(len), 7).unwrap_err().to_string().contains("too large"), "{len}");
        }
    }
}
