//! The failure of a storage, told to everyone who waits for it.

use std::sync::Arc;

use livestore_traits::BoxError;

/// Why a storage failed. Cloned to every caller that was waiting and, if the storage is closed for it, to every later one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    what: &'static str,
    #[source]
    source: Arc<dyn std::error::Error + Send + Sync>,
}

impl Failure {
    /// A write failed and the storage is as it was before.
    pub(crate) fn undone(source: BoxError) -> Self {
        Self { what: "the write failed and was undone", source: source.into() }
    }

    /// A write failed and nobody knows what of it is on disk: nothing goes on until the storage is opened again.
    pub(crate) fn closed(source: BoxError) -> Self {
        Self {
            what: "a write failed and the storage was closed; it must be opened again",
            source: source.into(),
        }
    }

    /// A read failed.
    pub(crate) fn read(source: BoxError) -> Self {
        Self { what: "the log could not be read", source: source.into() }
    }

    /// The thread that writes is gone.
    pub(crate) fn stopped() -> Self {
        Self {
            what: "the storage takes no more writes",
            source: BoxError::from("its thread has ended").into(),
        }
    }
}
