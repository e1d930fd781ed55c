//! Both encodings behind two functions, so that no caller handles their errors by itself.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How a message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Readable, and what curl speaks.
    #[default]
    Json,
    /// Compact.
    Postcard,
}

/// Bytes are not the message they should be.
#[derive(Debug, thiserror::Error)]
#[error("malformed message: {reason}")]
pub struct DecodeError {
    reason: String,
}

impl DecodeError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl Encoding {
    /// The content type that names this encoding over HTTP.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Postcard => "application/x-livestore-postcard",
        }
    }

    /// The encoding a content type or `Accept` header asks for; JSON unless it names postcard.
    #[must_use]
    pub fn from_header(value: &str) -> Self {
        if value.contains(Self::Postcard.content_type()) { Self::Postcard } else { Self::Json }
    }

    /// Writes `value`.
    ///
    /// # Panics
    /// Never for the forms of this crate: each has both encodings.
    #[must_use]
    pub fn encode<T: Serialize>(self, value: &T) -> Bytes {
        match self {
            Self::Json => serde_json::to_vec(value).expect("forms have string keys and valid args").into(),
            Self::Postcard => {
                postcard::to_stdvec(value).expect("forms say their lengths before they are written").into()
            }
        }
    }

    /// Reads a `T` from exactly these bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if they are anything else.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(|error| DecodeError::new(error.to_string())),
            Self::Postcard => match postcard::take_from_bytes(bytes) {
                Ok((value, [])) => Ok(value),
                Ok((_, rest)) => Err(DecodeError::new(format!("{} bytes too many", rest.len()))),
                Err(error) => Err(DecodeError::new(error.to_string())),
            },
        }
    }
}
