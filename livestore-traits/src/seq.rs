//! The numbers of events: positions in the total order, the versions of a position, and the terms of leaders.
//!
//! ```text
//! e<global>[.<client>][r<generation>]        root is e0
//! ```
//!
//! [`Position`] orders; [`SeqNum`] is a position with the rebase generation that wrote it and so names one version for
//! ever. `SeqNum` deliberately has no order: comparing versions with `<` hides whether the generation should count.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of a synced event in its store's total order; 0 is the root, before the first event.
///
/// This is all of a number that travels on the wire and that backends know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GlobalSeq(pub u64);

impl GlobalSeq {
    /// Before the first event.
    pub const ROOT: Self = Self(0);

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for GlobalSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// A place in a client's log: synced events by `global`, client-only events after them by `client`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The number of the last synced event at or before this place.
    pub global: GlobalSeq,
    /// 0 for a synced event, else the count of client-only events since it.
    pub client: u32,
}

impl Position {
    /// Before the first event.
    pub const ROOT: Self = Self { global: GlobalSeq::ROOT, client: 0 };

    /// The place of the synced event `global`.
    #[must_use]
    pub const fn synced(global: GlobalSeq) -> Self {
        Self { global, client: 0 }
    }

    /// The place just before this one among all places, whether an event stands there or not: what a reader passes as
    /// `after` to get the event at this place first. The root has none before it and returns itself.
    #[must_use]
    pub const fn before(self) -> Self {
        match (self.global.0, self.client) {
            (0, 0) => self,
            (global, 0) => Self { global: GlobalSeq(global - 1), client: u32::MAX },
            (_, client) => Self { global: self.global, client: client - 1 },
        }
    }

    /// Whether a synced event stands here (true for the root, which every history shares).
    #[must_use]
    pub const fn is_synced(self) -> bool {
        self.client == 0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.global.0)?;
        if self.client > 0 {
            write!(f, ".{}", self.client)?;
        }
        Ok(())
    }
}

/// Counts the merges of a log that rolled something back. Belongs to a log, is stored in its heads, and only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RebaseGeneration(pub u64);

impl RebaseGeneration {
    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for RebaseGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// The full number of an event in a client's log: its place and the generation that wrote it there.
///
/// Equality includes the generation. For order, compare [`SeqNum::position`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeqNum {
    /// The synced part.
    pub global: GlobalSeq,
    /// The client-only part; 0 for a synced event.
    pub client: u32,
    /// The generation of the log when the event was appended.
    pub generation: RebaseGeneration,
}

impl SeqNum {
    /// Before the first event.
    pub const ROOT: Self = Self { global: GlobalSeq::ROOT, client: 0, generation: RebaseGeneration(0) };

    /// The version of `position` written in `generation`.
    #[must_use]
    pub const fn new(position: Position, generation: RebaseGeneration) -> Self {
        Self { global: position.global, client: position.client, generation }
    }

    /// The place without the generation; this is what orders.
    #[must_use]
    pub const fn position(self) -> Position {
        Position { global: self.global, client: self.client }
    }

    /// Whether this is the number of a synced event (or the root).
    #[must_use]
    pub const fn is_synced(self) -> bool {
        self.client == 0
    }

    /// The number of a synced event that follows this one.
    #[must_use]
    pub const fn next_synced(self, generation: RebaseGeneration) -> Self {
        Self { global: self.global.next(), client: 0, generation }
    }

    /// The number of a client-only event that follows this one.
    #[must_use]
    pub const fn next_client_only(self, generation: RebaseGeneration) -> Self {
        Self { global: self.global, client: self.client + 1, generation }
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position().fmt(f)?;
        if self.generation.0 > 0 {
            self.generation.fmt(f)?;
        }
        Ok(())
    }
}

/// A text is not the number of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an event number like e3, e3.1 or e3.1r2")]
pub struct ParseSeqError {
    text: String,
}

impl FromStr for SeqNum {
    type Err = ParseSeqError;

    fn from_str(text: &str) -> Result<Self, ParseSeqError> {
        // Numbers of Rust may have a plus sign.
        fn digits<T: FromStr>(text: &str) -> Option<T> {
            if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
        }
        let parse = || -> Option<Self> {
            let rest = text.strip_prefix('e')?;
            let (place, generation) = match rest.split_once('r') {
                Some((place, generation)) => (place, digits(generation)?),
                None => (rest, 0),
            };
            let (global, client) = match place.split_once('.') {
                Some((global, client)) => (digits(global)?, digits(client)?),
                None => (digits(place)?, 0),
            };
            Some(Self { global: GlobalSeq(global), client, generation: RebaseGeneration(generation) })
        };
        parse().ok_or_else(|| ParseSeqError { text: text.chars().take(64).collect() })
    }
}

/// The number of a leadership: a fencing token that grows with every leader of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_and_parse_in_event_notation() {
        for text in ["e0", "e3", "e3.1", "e3r2", "e3.1r2", "e18446744073709551615.4294967295r9"] {
            assert_eq!(text.parse::<SeqNum>().unwrap().to_string(), text);
        }
        for text in ["", "3", "e", "e3.", "e3r", "ex", "e-1", "e+1", "e3.1r+2", "e3.1.2"] {
            assert!(text.parse::<SeqNum>().is_err(), "{text} was taken for a number");
        }
    }

    #[test]
    fn the_place_before_admits_exactly_the_event_itself() {
        let place = |text: &str| text.parse::<SeqNum>().unwrap().position();
        assert_eq!(place("e3.2").before(), place("e3.1"));
        assert_eq!(place("e3.1").before(), place("e3"));
        assert!(place("e3").before() > place("e2.7") && place("e3").before() < place("e3"));
        assert_eq!(Position::ROOT.before(), Position::ROOT);
    }
}
