//! Ids of requests: chosen by clients, given back as they came.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest id in digits; more than any counter needs.
const MAX_DIGITS: usize = 20;
/// The largest integer that JavaScript counts to.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Which LiveStore a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The released 0.4.0.
    V04,
    /// The main branch.
    Main,
}

/// Names a request among those running on its connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// An integer as text, as 0.4.0 sends it.
    Text(Arc<str>),
    /// An integer, as main sends it.
    Number(u64),
}

impl RequestId {
    /// What the sender of this id speaks, and wants to hear.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Text(_) => Dialect::V04,
            Self::Number(_) => Dialect::Main,
        }
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
        }
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = RequestId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request id: an integer, or one as text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RequestId, E> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_integer =
            (1..=MAX_DIGITS).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if is_integer {
            Ok(RequestId::Text(text.into()))
        } else {
            Err(E::custom("a request id is an integer"))
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<RequestId, E> {
        if number <= MAX_NUMBER {
            Ok(RequestId::Number(number))
        } else {
            Err(E::custom("a request id is too large"))
        }
    }
}
