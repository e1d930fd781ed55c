//! What all errors of the contracts share.

/// The source of an error that only its implementation can name.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What a caller should do after an error; the engine follows it without looking at the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Take in what upstream has, rebase, then try again.
    Rebase,
    /// Nothing happened; try again after a while.
    Backoff,
    /// It may have happened; pull first, then see.
    PullThenRetry,
    /// The backend's history is not the one this client knows; apply the policy for that.
    Diverged,
    /// Another client owns this client's id; choose a new one and try again.
    NewClientId,
    /// This content is refused for good; drop it and go on with the rest.
    Drop,
    /// Credentials are missing or refused; try again when they may have changed.
    Unauthorized,
    /// Trying again changes nothing; report it and stop.
    Fatal,
}
