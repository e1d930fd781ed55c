//! What a client shows to be let in.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use livestore_traits::BoxError;
use serde::Serialize;
use serde_json::value::RawValue;

/// The sync payload: JSON of the application's own by which a server decides what a client may do, for example
/// `{"authToken": "let-me-in"}`. Never printed.
#[derive(Clone)]
pub struct SyncPayload(Arc<RawValue>);

/// A text or value is no sync payload.
#[derive(Debug, thiserror::Error)]
#[error("the sync payload is not JSON")]
pub struct InvalidPayload(#[source] serde_json::Error);

impl SyncPayload {
    /// The longest payload that servers take, in bytes of its text: it travels in URLs and headers.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// The payload of this JSON text.
    ///
    /// # Errors
    /// [`InvalidPayload`] if the text is not JSON.
    pub fn from_json(text: &str) -> Result<Self, InvalidPayload> {
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(InvalidPayload)?;
        Ok(Self(raw.into()))
    }

    /// The payload of this value.
    ///
    /// # Errors
    /// [`InvalidPayload`] if the value can't be written as JSON.
    pub fn new(value: &impl Serialize) -> Result<Self, InvalidPayload> {
        Ok(Self(serde_json::value::to_raw_value(value).map_err(InvalidPayload)?.into()))
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
    fn closures_and_values_are_sources() {
        fn source(_: impl PayloadSource) {}
        source(SyncPayload::new(&"token").unwrap());
        source(|| async { Ok(SyncPayload::new(&1)?) });
    }
}
