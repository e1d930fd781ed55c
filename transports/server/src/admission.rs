//! What is refused before a backend is asked, the same over every transport.

use livestore_traits::{Limits, Push, PushError};

/// Checks what backends leave to their clients: that args mean the same to every client, JavaScript ones included.
/// This library's own clients check when they commit, but the wire is open to others.
pub(crate) fn check(push: &Push, limits: &Limits) -> Result<(), PushError> {
    push.check_limits(limits)?;
    for event in &push.events {
        event.args.check_js().map_err(|error| PushError::Invalid(format!("{}: {error}", event.seq)))?;
    }
    Ok(())
}
