//! Where in a request the token is.

use std::fmt;
use std::str::FromStr;

use http::header::AUTHORIZATION;
use livestore_server::AccessRequest;
use serde_json::Value;

use crate::payload::at;

const PAYLOAD: &str = "payload";
const BEARER: &str = "bearer";

/// Where in a request the token is. Written as `payload.authToken` (the default), as another path into the sync payload,
/// as `payload` for one that is the token itself, or as `bearer`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenPlace {
    /// In the sync payload, at this path of keys. LiveStore's clients can send it nowhere else.
    Payload(Vec<String>),
    /// In the header `Authorization: Bearer …`.
    Bearer,
}

impl Default for TokenPlace {
    fn default() -> Self {
        Self::Payload(vec!["authToken".to_owned()])
    }
}

/// A text names no place of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a token is at `payload.` and a path, such as `payload.authToken`, or at `bearer`, for the header Authorization"
)]
pub struct InvalidTokenPlace;

impl FromStr for TokenPlace {
    type Err = InvalidTokenPlace;

    fn from_str(text: &str) -> Result<Self, InvalidTokenPlace> {
        let mut parts = text.split('.');
        match parts.next() {
            Some(BEARER) if parts.next().is_none() => Ok(Self::Bearer),
            Some(PAYLOAD) => {
                let path: Vec<String> = parts.map(ToOwned::to_owned).collect();
                if path.iter().any(String::is_empty) {
                    Err(InvalidTokenPlace)
                } else {
                    Ok(Self::Payload(path))
                }
            }
            _ => Err(InvalidTokenPlace),
        }
    }
}

impl fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload(path) => {
                f.write_str(PAYLOAD)?;
                path.iter().try_for_each(|key| write!(f, ".{key}"))
            }
            Self::Bearer => f.write_str(BEARER),
        }
    }
}

impl TokenPlace {
    /// The token of a request, if it has one there.
    pub(super) fn token(&self, request: &AccessRequest<'_>) -> Option<String> {
        match self {
            Self::Payload(path) => {
                let payload: Value = serde_json::from_str(request.payload?.as_json()).ok()?;
                Some(at(&payload, path)?.as_str()?.to_owned())
            }
            Self::Bearer => {
                let header = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
                let (scheme, token) = header.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
            }
        }
    }
}
