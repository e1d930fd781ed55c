//! A push as this protocol wants it.

use std::sync::Arc;

use livestore_traits::{ArgsError, Limits, Push, PushError, SyncBackend};
use livestore_wire::livestore::RpcError;

use super::pull::{identify, mismatch};
use crate::access::Access;

/// Appends a batch.
pub(super) async fn push(
    backend: Arc<dyn SyncBackend>,
    access: &Access,
    push: Push,
    limits: Limits,
) -> Result<(), RpcError> {
    let parent = push.parent;
    let received = push.backend_id.clone();
    let append = async {
        push.check_limits(&limits)?;
        check_args(&push)?;
        access.admit_push(&push.events).await?;
        backend.push(push).await
    };
    let Err(error) = append.await else { return Ok(()) };
    match (&error, received) {
        (PushError::UpstreamAhead { head, .. }, _) => {
            return Err(RpcError::ServerAhead { minimum_expected_num: head.0, provided_num: parent.0 });
        }
        (PushError::Diverged(_), Some(received)) => {
            if let Ok(expected) = identify(&backend).await {
                return Err(mismatch(&expected, &received));
            }
        }
        (PushError::Backend { backend, source }, _) => {
            tracing::error!(backend, error = source, "a push failed");
        }
        _ => {}
    }
    Err(RpcError::unknown(kind(&error), error.to_string()))
}

/// Refuses what `JSON.parse` would read as something else than other readers do: numbers that no double holds, repeated
/// keys. No `JSON.stringify` writes those. What it may write but other readers refuse, such as half of a surrogate pair
/// or a very deep nesting, is taken: a real client that were refused it would send it again for ever.
fn check_args(push: &Push) -> Result<(), PushError> {
    for event in &push.events {
        if let Err(error @ ArgsError::NotJavaScript(_)) = event.args.check_js() {
            return Err(PushError::Invalid(format!("{}: {error}", event.seq)));
        }
    }
    Ok(())
}

/// What to call an error that this protocol has no name for.
const fn kind(error: &PushError) -> &'static str {
    match error {
        PushError::TooLarge { .. } | PushError::Rejected(_) => "RejectedError",
        PushError::Invalid(_) => "InvalidBatchError",
        PushError::Unauthorized(_) => "UnauthorizedError",
        _ => "UnavailableError",
    }
}
