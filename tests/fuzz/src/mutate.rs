//! Makes new inputs of known ones.

use std::ops::Range;

use fastrand::Rng;

use crate::Target;

/// What decoders have branches for, whatever they decode.
const TOKENS: &[&[u8]] = &[
    b"",
    b"\0",
    b"\xff",
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"-",
    b"0",
    b"1e400",
    b"1e-7",
    b"0.1",
    b"\\ud800",
    b"9007199254740993",
    b"18446744073709551615",
    b"18446744073709551616",
    b"\x80\x80\x80\x80\x10",
    b"..",
    b"%",
    b"%2f",
    b"+",
    b"/",
    b"?",
    b"*",
    b"&",
    b"\n",
    b"\xc3\xbc",
];
/// The most changes to one input.
const MAX_CHANGES: usize = 6;
/// The longest stretch that one change moves, in bytes.
const MAX_STRETCH_BYTES: usize = 64;

/// `input` with a few changes, some of which take stretches of `other`. At most [`Target::MAX_INPUT_BYTES`] long.
#[must_use]
pub fn mutate(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..rng.usize(1..=MAX_CHANGES) {
        change(&mut bytes, other, rng);
    }
    bytes.truncate(Target::MAX_INPUT_BYTES);
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let place = stretch(bytes.len(), rng);
    match rng.u8(0..8) {
        0 => {
            if let Some(byte) = bytes.get_mut(place.start) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        1 => bytes.insert(place.start, rng.u8(..)),
        2 => drop(bytes.drain(place)),
        3 => {
            let again = bytes[place.clone()].to_vec();
            drop(bytes.splice(place.end..place.end, again));
        }
        4 => {
            let token = TOKENS[rng.usize(..TOKENS.len())];
            drop(bytes.splice(place.start..place.start, token.iter().copied()));
        }
        5 => {
            let token = TOKENS[rng.usize(..TOKENS.len())];
            drop(bytes.splice(value_at(bytes, place.start), token.iter().copied()));
        }
        6 => {
            let from = stretch(other.len(), rng);
            drop(bytes.splice(place, other[from].iter().copied()));
        }
        _ => {
            let value = value_at(other, rng.usize(..=other.len()));
            drop(bytes.splice(value_at(bytes, place.start), other[value].iter().copied()));
        }
    }
}

fn stretch(len: usize, rng: &mut Rng) -> Range<usize> {
    let start = rng.usize(..=len);
    start..(start + rng.usize(..=MAX_STRETCH_BYTES)).min(len)
}

/// The word around a place: what stands between punctuation, such as a number, a name, or part of a path.
fn value_at(bytes: &[u8], place: usize) -> Range<usize> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let before = bytes[..place].iter().rev().take_while(|byte| is_part(byte)).count();
    let after = bytes[place..].iter().take_while(|byte| is_part(byte)).count();
    place - before..place + after
}
