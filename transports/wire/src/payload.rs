//! What a client shows to be let in.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use livestore_traits::BoxError;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::bytes_form;

/// The sync payload: JSON of the application's own by which a server decides what a client may do, for example
/// `{"authToken": "let-me-in"}`. Never printed.
#[derive(Clone)]
pub struct SyncPayload(Arc<RawValue>);

/// A text or value is no sync payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPayload {
    /// It is not JSON.
    #[error("the sync payload is not JSON")]
    Syntax(#[source] serde_json::Error),
    /// It is longer than [`SyncPayload::MAX_BYTES`].
    #[error("the sync payload has more than {} bytes", SyncPayload::MAX_BYTES)]
    TooLong,
    /// It is neither JSON nor base64url.
    #[error("the sync payload in a header is JSON, or base64url of it")]
    Encoding,
}

/// The header with which native clients show their payload.
pub const PAYLOAD_HEADER: &str = "livestore-payload";

impl SyncPayload {
    /// The longest payload, in bytes of its text: it travels in URLs and headers.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// The payload of this JSON text.
    ///
    /// # Errors
    /// [`InvalidPayload`] if the text is not JSON, or too long.
    pub fn from_json(text: &str) -> Result<Self, InvalidPayload> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidPayload::TooLong);
        }
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(InvalidPayload::Syntax)?;
        Ok(Self(raw.into()))
    }

    /// The payload of this value.
    ///
    /// # Errors
    /// [`InvalidPayload`] if the value can't be written as JSON, or is too long.
    pub fn new(value: &impl Serialize) -> Result<Self, InvalidPayload> {
        Self::from_json(&serde_json::to_string(value).map_err(InvalidPayload::Syntax)?)
    }

    /// Reads the value of a [`PAYLOAD_HEADER`]: base64url as clients write it, or JSON as people type it.
    ///
    /// # Errors
    /// [`InvalidPayload`] if it is neither.
    pub fn from_header(value: &[u8]) -> Result<Self, InvalidPayload> {
        // No base64 begins like an object, an array or a text, and nobody authenticates with a bare number.
        if matches!(value.trim_ascii_start().first(), Some(b'{' | b'[' | b'"')) {
            return Self::from_json(std::str::from_utf8(value).map_err(|_| InvalidPayload::Encoding)?);
        }
        let text = bytes_form::from_text_or_standard(value).ok_or(InvalidPayload::Encoding)?;
        Self::from_json(std::str::from_utf8(&text).map_err(|_| InvalidPayload::Encoding)?)
    }

    /// What stands in a [`PAYLOAD_HEADER`], marked so that it is not printed.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        let text = bytes_form::to_text(self.as_json().as_bytes());
        let mut value = HeaderValue::try_from(text).expect("base64url is visible ASCII");
        value.set_sensitive(true);
        value
    }

    pub(crate) fn as_raw(&self) -> &RawValue {
        &self.0
    }

    /// Its JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }
}

impl fmt::Debug for SyncPayload {
    /// Leaves out what it holds: credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncPayload").finish_non_exhaustive()
    }
}

/// Where a client's sync payload comes from.
///
/// Clients ask for it before each connection, and before each request over HTTP, so a token can be renewed while a store
/// is in use: an async closure that fetches one is a source, and so is a fixed [`SyncPayload`]. An error counts as
/// being offline: the client asks again after its backoff.
#[async_trait]
pub trait PayloadSource: Send + Sync + 'static {
    /// The payload to show now.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Cancel safety
    /// Callers drop the future when they have stopped waiting for the connection.
    async fn payload(&self) -> Result<SyncPayload, BoxError>;
}

#[async_trait]
impl PayloadSource for SyncPayload {
    async fn payload(&self) -> Result<Self, BoxError> {
        Ok(self.clone())
    }
}

#[async_trait]
impl<F, Fut> PayloadSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<SyncPayload, BoxError>> + Send,
{
    async fn payload(&self) -> Result<SyncPayload, BoxError> {
        self().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_and_never_printed() {
        let payload = SyncPayload::from_json(r#"{"authToken": "secret"}"#).unwrap();
        assert_eq!(payload.as_json(), r#"{"authToken": "secret"}"#);
        assert!(!format!("{payload:?}").contains("secret"));
        assert!(SyncPayload::from_json("{").is_err());
    }

    #[test]
    fn headers_read_back_as_they_were_written() {
        let payload = SyncPayload::from_json(r#"{"authToken": "let-me-in", "note": "a b&c=ü~~~"}"#).unwrap();
        let header = payload.to_header();
        assert!(header.is_sensitive());
        assert_eq!(SyncPayload::from_header(header.as_bytes()).unwrap().as_json(), payload.as_json());
    }

    #[test]
    fn headers_may_be_typed_by_hand() {
        for text in [r#" {"a":1}"#, "eyJhIjoxfQ", "eyJhIjoxfQ==", "eyJhIjoifn5-In0", "eyJhIjoifn5+In0="] {
            assert!(SyncPayload::from_header(text.as_bytes()).is_ok(), "{text}");
        }
        for text in ["", "{", "a b", "eyJhIjox", "%7B%7D", "\"\u{fc}"] {
            assert!(SyncPayload::from_header(text.as_bytes()).is_err(), "{text}");
        }
        assert!(matches!(SyncPayload::from_header(b"{\"\xff\":1}"), Err(InvalidPayload::Encoding)));
    }

    #[test]
    fn payloads_are_bounded() {
        let of = |len: usize| SyncPayload::new(&"x".repeat(len - 2));
        let longest = of(SyncPayload::MAX_BYTES).unwrap();
        assert!(SyncPayload::from_header(longest.to_header().as_bytes()).is_ok());
        assert!(matches!(of(SyncPayload::MAX_BYTES + 1), Err(InvalidPayload::TooLong)));
    }

    #[test]
    fn closures_and_values_are_sources() {
        fn source(_: impl PayloadSource) {}
        source(SyncPayload::new(&"token").unwrap());
        source(|| async { Ok(SyncPayload::new(&1)?) });
    }
}
