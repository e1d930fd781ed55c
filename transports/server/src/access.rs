//! How the server asks its authorizer, and what it makes of the answers: within a time, and surviving panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use livestore_traits::{PushError, Rejection, StoreId, SyncedEvent};
use tokio::time::Instant;

use crate::authorizer::{AccessDenied, AccessRequest, Authorizer, Principal, PushDenied, Rights};

/// Asks the authorizer.
pub(crate) struct Guard {
    authorizer: Box<dyn Authorizer>,
    timeout: Duration,
}

/// Why the authorizer has no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the authorizer took longer than {0:?}")]
    Timeout(Duration),
    #[error("the authorizer panicked")]
    Panic,
    #[error("the authorizer rejected event {0} of a batch that has none such")]
    Index(usize),
}

impl Guard {
    pub(crate) fn new(authorizer: Box<dyn Authorizer>, timeout: Duration) -> Self {
        Self { authorizer, timeout }
    }

    /// Whether the request may have its store.
    pub(crate) async fn admit(self: &Arc<Self>, request: &AccessRequest<'_>) -> Result<Access, AccessDenied> {
        let asked = self.ask(async { self.authorizer.authorize(request).await }).await.flatten();
        let admitted = asked.and_then(|principal| {
            let expires = expiry(&principal)?;
            Ok(Access { guard: self.clone(), store: request.store.clone(), principal, expires })
        });
        if let Err(denied) = &admitted {
            log(denied, request.store, &request.peer());
        }
        admitted
    }

    /// The answer, unless there is none.
    async fn ask<T>(&self, answer: impl Future<Output = T>) -> Result<T, AccessDenied> {
        // Whatever it leaves half done is its own, and nothing here is.
        let answer = AssertUnwindSafe(answer).catch_unwind();
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(NoAnswer::Panic.into()),
            Err(_) => Err(NoAnswer::Timeout(self.timeout).into()),
        }
    }
}

impl From<NoAnswer> for AccessDenied {
    fn from(error: NoAnswer) -> Self {
        Self::Unavailable(error.into())
    }
}

/// When the principal ceases to be one, on the clock that timers use.
fn expiry(principal: &Principal) -> Result<Option<Instant>, AccessDenied> {
    let Some(at) = principal.expires_at else { return Ok(None) };
    match at.duration_since(SystemTime::now()) {
        // What no clock reaches is never.
        Ok(left) if !left.is_zero() => Ok(Instant::now().checked_add(left)),
        _ => Err(AccessDenied::unauthenticated("the access has expired")),
    }
}

fn log(denied: &AccessDenied, store: &StoreId, who: &dyn std::fmt::Debug) {
    match denied {
        AccessDenied::Unavailable(source) => {
            tracing::error!(%store, ?who, error = &**source as &dyn std::error::Error, "access cannot be checked");
        }
        AccessDenied::Unauthenticated(reason) | AccessDenied::Forbidden(reason) => {
            tracing::info!(%store, ?who, reason, "access refused");
        }
    }
}

/// Somebody who was let in, and to what.
#[derive(Clone)]
pub(crate) struct Access {
    guard: Arc<Guard>,
    store: StoreId,
    principal: Principal,
    /// When it ends.
    expires: Option<Instant>,
}

impl Access {
    /// When it ends; never, if not given.
    pub(crate) const fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// How long it lasts.
    pub(crate) fn time_left(&self) -> Duration {
        self.expires.map_or(Duration::MAX, |expires| expires.saturating_duration_since(Instant::now()))
    }

    /// Whether these events may be pushed.
    pub(crate) async fn admit_push(&self, events: &[SyncedEvent]) -> Result<(), PushDenied> {
        let admitted = self.check_push(events).await;
        match &admitted {
            Ok(()) => {}
            Err(PushDenied::Denied(denied)) => log(denied, &self.store, &self.principal.name),
            Err(PushDenied::Rejected(Rejection { code, message, .. })) => {
                let Principal { name, .. } = &self.principal;
                tracing::info!(store = %self.store, name = &**name, %code, message, "an event was rejected");
            }
        }
        admitted
    }

    async fn check_push(&self, events: &[SyncedEvent]) -> Result<(), PushDenied> {
        match self.principal.rights {
            Rights::ReadWrite => {}
            Rights::Read => return Err(AccessDenied::forbidden("this access is for reading only").into()),
        }
        let answer =
            async { self.guard.authorizer.authorize_push(&self.principal, &self.store, events).await };
        match self.guard.ask(answer).await? {
            // A client that is told of an event it does not have can only give up.
            Err(PushDenied::Rejected(rejection)) if rejection.index >= events.len() => {
                Err(AccessDenied::from(NoAnswer::Index(rejection.index)).into())
            }
            answer => answer,
        }
    }
}

impl From<PushDenied> for PushError {
    fn from(denied: PushDenied) -> Self {
        match denied {
            PushDenied::Rejected(rejection) => Self::Rejected(rejection),
            PushDenied::Denied(denied @ AccessDenied::Unavailable(_)) => Self::Busy(denied.to_string()),
            PushDenied::Denied(denied) => Self::Unauthorized(denied.to_string()),
        }
    }
}
