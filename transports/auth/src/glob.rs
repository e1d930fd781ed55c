//! Patterns of store ids.
//!
//! `*` stands for any characters, also none, `?` for exactly one. Neither can be part of a store id, so nothing needs to be
//! escaped, and a pattern without them names one store.

use std::fmt;
use std::str::FromStr;

use livestore_traits::StoreId;

/// A pattern of store ids, such as `todos-*`.
///
/// # Example
/// ```
/// use livestore_auth::StoreGlob;
/// use livestore_traits::StoreId;
///
/// let glob: StoreGlob = "todos-*".parse()?;
/// assert!(glob.matches(&StoreId::new("todos-7")?));
/// assert!(!glob.matches(&StoreId::new("notes")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoreGlob {
    /// As it was written.
    text: String,
    /// Each run of wildcards as its `?`s followed by at most one `*`, so that equal patterns are equal texts.
    pattern: Vec<u8>,
}

/// A text is no pattern of store ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGlob {
    /// It matches nothing at all.
    #[error("the pattern is empty; `*` is every store")]
    Empty,
    /// It has a character that no store id has, and so would match nothing.
    #[error(
        "the pattern {glob:?} has {character:?}, which no store id has; beside letters, digits, `_`, `-` and `.` there are the wildcards `*` and `?`"
    )]
    Character {
        /// The pattern.
        glob: String,
        /// The character.
        character: char,
    },
}

impl StoreGlob {
    /// The pattern of every store.
    #[must_use]
    pub fn any() -> Self {
        Self { text: "*".to_owned(), pattern: b"*".to_vec() }
    }

    /// Whether `store` is one of those meant.
    #[must_use]
    pub fn matches(&self, store: &StoreId) -> bool {
        covers(&self.pattern, store.as_str().as_bytes())
    }

    /// Whether this pattern matches every store that `other` matches. May miss that where wildcards of both meet in an
    /// odd way, such as `?*` and `*a`; never claims it wrongly.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.pattern, &other.pattern)
    }

    /// Whether both match the same stores.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl FromStr for StoreGlob {
    type Err = InvalidGlob;

    fn from_str(text: &str) -> Result<Self, InvalidGlob> {
        if text.is_empty() {
            return Err(InvalidGlob::Empty);
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*' | '?');
        if let Some(character) = text.chars().find(|character| !is_allowed(*character)) {
            return Err(InvalidGlob::Character { glob: text.chars().take(256).collect(), character });
        }
        Ok(Self { text: text.to_owned(), pattern: normal_form(text) })
    }
}

fn normal_form(text: &str) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match (byte, pattern.last()) {
            (b'*', Some(b'*')) => {}
            (b'?', Some(b'*')) => {
                pattern.pop();
                pattern.extend_from_slice(b"?*");
            }
            _ => pattern.push(byte),
        }
    }
    pattern
}

/// Whether `pattern` matches `text`, whose own wildcards, if it is a pattern too, stand for whatever they may: only `*`
/// takes a `*`, only a wildcard takes a `?`.
///
/// Each `*` takes as little as it can; after a mismatch only the last one is tried longer, so that the worst case is the
/// product of the lengths.
fn covers(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the pattern goes on after its last `*`, and where the text does.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, t));
            }
            Some(b'?') if text[t] != b'*' => {
                p += 1;
                t += 1;
            }
            Some(&literal) if literal == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, taken)) = retry else { return false };
                p = after_star;
                t = taken + 1;
                retry = Some((after_star, t));
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

impl fmt::Display for StoreGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StoreGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> StoreGlob {
        text.parse().unwrap()
    }

    #[test]
    fn wildcards_stand_for_what_they_should() {
        for (pattern, matching, others) in [
            ("*", vec!["a", "auth-1", "x.y_z"], vec![]),
            ("auth-*", vec!["auth-", "auth-1", "auth-a-b"], vec!["auth", "xauth-1", "Auth-1"]),
            ("*-log", vec!["-log", "a-log", "a-log-log"], vec!["log", "a-logs"]),
            ("a*b*c", vec!["abc", "aXbXbXc", "abcbc"], vec!["ab", "acb", "abcd"]),
            ("team-?", vec!["team-a", "team-1"], vec!["team-", "team-ab"]),
            ("?*", vec!["a", "ab"], vec![]),
            ("todo", vec!["todo"], vec!["todo1", "tod"]),
        ] {
            let pattern = glob(pattern);
            for store in matching {
                assert!(pattern.matches(&StoreId::new(store).unwrap()), "{pattern} does not match {store}");
            }
            for store in others {
                assert!(!pattern.matches(&StoreId::new(store).unwrap()), "{pattern} matches {store}");
            }
        }
    }

    #[test]
    fn a_long_pattern_takes_no_long_time() {
        let pattern = glob(&"a*".repeat(100));
        let store = StoreId::new("a".repeat(99) + "b").unwrap();
        assert!(!pattern.matches(&store));
    }

    #[test]
    fn a_pattern_covers_what_it_matches_whole() {
        for (wide, narrow) in [
            ("*", "auth-*"),
            ("*", "?"),
            ("auth-*", "auth-*"),
            ("auth-*", "auth-1"),
            ("auth-*", "auth-?-*"),
            ("a*", "a*b"),
            ("*a*", "a*"),
            ("*?", "?*"),
            ("**", "*"),
        ] {
            assert!(glob(wide).covers(&glob(narrow)), "{wide} does not cover {narrow}");
        }
        for (one, other) in
            [("auth-*", "*"), ("?", "*"), ("a*", "*a"), ("a?", "a*"), ("auth-1", "auth-*"), ("a", "?")]
        {
            assert!(!glob(one).covers(&glob(other)), "{one} covers {other}");
        }
        assert!(glob("a**").is_same(&glob("a*")) && glob("*?").is_same(&glob("?*")));
    }

    #[test]
    fn what_could_match_nothing_is_refused() {
        assert_eq!("".parse::<StoreGlob>(), Err(InvalidGlob::Empty));
        for text in ["auth-[ab]", "a b", "{a,b}", "ä", "a/b"] {
            assert!(matches!(text.parse::<StoreGlob>(), Err(InvalidGlob::Character { .. })), "{text} passed");
        }
    }
}
