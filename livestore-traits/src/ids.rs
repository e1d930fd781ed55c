//! Names of stores, clients, sessions, backends and events: short, validated, cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text cannot be used as the id it was meant to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what}: {reason}")]
pub struct InvalidId {
    what: &'static str,
    reason: &'static str,
}

impl InvalidId {
    /// Which kind of id was asked for, for example `store id`.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.what
    }
}

/// What is checked of an id: its length in bytes and its characters.
struct Rule {
    what: &'static str,
    max_bytes: usize,
    /// Only characters that are safe in a path, a URL and a query.
    path_safe: bool,
}

impl Rule {
    fn check(&self, text: &str) -> Result<(), InvalidId> {
        let fail = |reason| Err(InvalidId { what: self.what, reason });
        if text.is_empty() {
            return fail("it is empty");
        }
        if text.len() > self.max_bytes {
            return fail("it is too long");
        }
        if self.path_safe {
            if text.starts_with('.') {
                return fail("it starts with a dot");
            }
            if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
                return fail("only letters, digits, '_', '-' and '.' are allowed");
            }
        } else if text.chars().any(char::is_control) {
            return fail("it has control characters");
        }
        Ok(())
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            const RULE: Rule = $rule;

            /// Checks `text` and takes it as an id.
            ///
            /// # Errors
            /// [`InvalidId`] if the text is empty, too long, or has characters that are not allowed.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidId> {
                let text = text.into();
                Self::RULE.check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(Arc::<str>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// Names one eventlog and its state. At most 128 bytes of letters, digits, `_`, `-` and `.`, not starting with a
    /// dot, so that it can stand in a path, a URL or a query as it is.
    StoreId, Rule { what: "store id", max_bytes: 128, path_safe: true }
}
id! {
    /// Names a client: one per device or profile. At most 128 bytes, no control characters.
    ClientId, Rule { what: "client id", max_bytes: 128, path_safe: false }
}
id! {
    /// Names a session of a client: one per window, tab or process. At most 128 bytes, no control characters.
    SessionId, Rule { what: "session id", max_bytes: 128, path_safe: false }
}
id! {
    /// Names one incarnation of a backend's log; another log, or the same one restored, has another id. At most 128
    /// bytes, no control characters.
    BackendId, Rule { what: "backend id", max_bytes: 128, path_safe: false }
}
id! {
    /// The name of an event, for example `v1.TodoCreated`. At most 256 bytes, no control characters.
    EventName, Rule { what: "event name", max_bytes: 256, path_safe: false }
}

/// Proves that a push comes from the owner of a client id: 16 random bytes, made with the client id and kept with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientSecret(pub [u8; 16]);

impl fmt::Debug for ClientSecret {
    /// Prints no byte of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_ids_that_could_leave_a_directory_are_refused() {
        let long = "x".repeat(10_240);
        for text in ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "a\0b", "ü", "%2e", long.as_str()] {
            assert!(StoreId::new(text).is_err(), "{text:.20} was accepted");
        }
        for text in ["a", "todo-1", "A_b.c", &"x".repeat(128)] {
            assert_eq!(StoreId::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn deserializing_checks_as_new_does() {
        assert!(serde_json::from_str::<StoreId>("\"../etc\"").is_err());
        assert_eq!(serde_json::from_str::<ClientId>("\"a b\"").unwrap().as_str(), "a b");
        assert!(serde_json::from_str::<ClientId>("\"a\\nb\"").is_err());
    }

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", ClientSecret([7; 16])), "ClientSecret(..)");
    }
}
