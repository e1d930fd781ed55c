//! What somebody may do with a store, as rules and tokens name it.

use std::fmt;
use std::str::FromStr;

use livestore_server::Rights;
use serde::{Deserialize, Serialize};

/// What somebody may do with a store; ordered from less to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Nothing.
    None,
    /// Pull.
    Read,
    /// Pull and push.
    ReadWrite,
}

impl Access {
    /// The rights of a principal, if somebody with this is let in at all.
    #[must_use]
    pub const fn rights(self) -> Option<Rights> {
        match self {
            Self::None => None,
            Self::Read => Some(Rights::Read),
            Self::ReadWrite => Some(Rights::ReadWrite),
        }
    }
}

/// A text names no access.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected read-write, read or none")]
pub struct InvalidAccess;

impl FromStr for Access {
    type Err = InvalidAccess;

    fn from_str(text: &str) -> Result<Self, InvalidAccess> {
        let all = [Self::None, Self::Read, Self::ReadWrite];
        all.into_iter().find(|access| access.to_string() == text).ok_or(InvalidAccess)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Read => "read",
            Self::ReadWrite => "read-write",
        })
    }
}
