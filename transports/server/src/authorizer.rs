//! Who may do what: the question a server asks before it touches a store, and again for each batch.
//!
//! ```text
//! request ──▶ authorize(store, payload, headers, extensions) ──▶ Principal, or AccessDenied
//!                                                                     │
//! each push ─▶ authorize_push(principal, store, events) ──▶ accepted, or PushDenied
//! ```
//!
//! A WebSocket is one request, however long it lives; the principal says how long that may be. What a client shows is
//! handed to the authorizer and to nobody else: it stands in no log and no answer.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use http::{Extensions, HeaderMap};
use livestore_traits::{BoxError, Rejection, StoreId, SyncedEvent};
use livestore_wire::SyncPayload;

/// Decides who may do what.
///
/// # Contract
/// - [`authorize`](Self::authorize) is asked once for each request to a store and once for each WebSocket, before the
///   store is opened or comes into being.
/// - [`authorize_push`](Self::authorize_push) is asked for each batch of a principal that may write, before the backend
///   sees it. The same batch may come again, also one that is stored already: its acknowledgement was lost. So an
///   answer should depend on the principal and the events, not on the moment.
/// - Both are asked concurrently, by all connections, and must not block their thread.
/// - Only an `Ok` lets anybody in. A panic, or no answer within
///   [`ServerLimits::authorize_timeout`](crate::ServerLimits::authorize_timeout), counts as
///   [`AccessDenied::Unavailable`].
///
/// # Example
/// Whoever knows the token may read; only `alice` may write, and nobody an event of more than 10 kB:
/// ```
/// use async_trait::async_trait;
/// use livestore_server::{AccessDenied, AccessRequest, Authorizer, Principal, PushDenied, Rights};
/// use livestore_traits::{RejectCode, Rejection, StoreId, SyncedEvent};
///
/// #[derive(serde::Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct Payload { auth_token: String, user: String }
///
/// struct Tokens;
///
/// #[async_trait]
/// impl Authorizer for Tokens {
///     async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
///         let payload = request.payload.ok_or_else(|| AccessDenied::unauthenticated("a token is needed"))?;
///         let Ok(payload) = serde_json::from_str::<Payload>(payload.as_json()) else {
///             return Err(AccessDenied::unauthenticated("the payload has no authToken and user"));
///         };
///         if payload.auth_token != "let-me-in" {
///             return Err(AccessDenied::unauthenticated("the token is not valid"));
///         }
///         let rights = if payload.user == "alice" { Rights::ReadWrite } else { Rights::Read };
///         Ok(Principal::new(payload.user, rights))
///     }
///
///     async fn authorize_push(
///         &self,
///         _: &Principal,
///         _: &StoreId,
///         events: &[SyncedEvent],
///     ) -> Result<(), PushDenied> {
///         match events.iter().position(|event| event.args.len() > 10_000) {
///             Some(index) => {
///                 let code = RejectCode::Policy("small-events".into());
///                 Err(Rejection { index, code, message: "10 kB are allowed".into() }.into())
///             }
///             None => Ok(()),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Decides about a request for a store.
    ///
    /// # Errors
    /// [`AccessDenied`] if it is refused, or if that cannot be told now.
    ///
    /// # Cancel safety
    /// The future is dropped when it takes too long or when the peer is gone.
    async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied>;

    /// Decides about a batch. A principal that may only read is refused without asking.
    ///
    /// # Errors
    /// [`PushDenied::Rejected`] if an event is refused for good, [`PushDenied::Denied`] otherwise.
    ///
    /// # Cancel safety
    /// As [`authorize`](Self::authorize).
    async fn authorize_push(
        &self,
        principal: &Principal,
        store: &StoreId,
        events: &[SyncedEvent],
    ) -> Result<(), PushDenied>;
}

/// What an authorizer sees of a request.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct AccessRequest<'a> {
    /// The store that is asked for. It need not exist yet.
    pub store: &'a StoreId,
    /// The sync payload: what LiveStore clients have in their URL and native ones in a header. At most
    /// [`SyncPayload::MAX_BYTES`] long.
    pub payload: Option<&'a SyncPayload>,
    /// All headers of the request.
    pub headers: &'a HeaderMap,
    /// What layers before this service have attached to the request: the [`PeerAddr`], or the user that the
    /// application's own login has found.
    pub extensions: &'a Extensions,
}

impl<'a> AccessRequest<'a> {
    /// A request, for example for a test of an authorizer.
    #[must_use]
    pub const fn new(
        store: &'a StoreId,
        payload: Option<&'a SyncPayload>,
        headers: &'a HeaderMap,
        extensions: &'a Extensions,
    ) -> Self {
        Self { store, payload, headers, extensions }
    }

    /// Who is at the other end of the connection, if the listener has said so. Behind a proxy that is the proxy.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.extensions.get::<PeerAddr>().map(|peer| peer.0)
    }
}

impl fmt::Debug for AccessRequest<'_> {
    /// Leaves out what may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessRequest")
            .field("store", self.store)
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

/// The address of the peer, as an extension of a request. The server's own listener sets it; whoever mounts the service
/// elsewhere sets it if an authorizer is to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Somebody who was let in.
#[derive(Clone)]
#[non_exhaustive]
pub struct Principal {
    /// What to call them in logs.
    pub name: Arc<str>,
    /// What they may do with the store.
    pub rights: Rights,
    /// Until when. Then WebSockets are closed, with code 4401, and long polls end, so that the client comes back with
    /// what it has by then; a right to read that is withdrawn earlier lasts until then. `None`: until the connection ends.
    pub expires_at: Option<SystemTime>,
    /// What the authorizer wants to be given back with each push.
    pub extension: Option<Arc<dyn Any + Send + Sync>>,
}

/// What somebody may do with a store. Who may write may read, because writing means to rebase on what others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rights {
    /// Pull. Every push is refused.
    Read,
    /// Pull and push.
    ReadWrite,
}

impl Principal {
    /// Somebody who may do this, until the connection ends.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, rights: Rights) -> Self {
        Self { name: name.into(), rights, expires_at: None, extension: None }
    }

    /// The same, until then.
    #[must_use]
    pub const fn expiring_at(mut self, time: SystemTime) -> Self {
        self.expires_at = Some(time);
        self
    }

    /// The same, with a value that comes back with each push.
    #[must_use]
    pub fn with_extension<T: Any + Send + Sync>(mut self, extension: T) -> Self {
        self.extension = Some(Arc::new(extension));
        self
    }

    /// The value of [`with_extension`](Self::with_extension), if it is a `T`.
    #[must_use]
    pub fn extension<T: Any>(&self) -> Option<&T> {
        self.extension.as_deref()?.downcast_ref()
    }
}

impl fmt::Debug for Principal {
    /// Leaves out the extension, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("name", &self.name)
            .field("rights", &self.rights)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why a request is refused. The sentences go to the peer and into the log, so they must not repeat what it showed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessDenied {
    /// Credentials are missing, wrong or expired; others may do. 401.
    #[error("{0}")]
    Unauthenticated(String),
    /// Whoever this is may not do that. 403.
    #[error("{0}")]
    Forbidden(String),
    /// It cannot be told at the moment. 503; the source goes into the log only.
    #[error("access cannot be checked at the moment")]
    Unavailable(#[source] BoxError),
}

impl AccessDenied {
    /// Credentials are missing, wrong or expired.
    #[must_use]
    pub fn unauthenticated(reason: impl Into<String>) -> Self {
        Self::Unauthenticated(reason.into())
    }

    /// Whoever this is may not do that.
    #[must_use]
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self::Forbidden(reason.into())
    }
}

/// Why a batch is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushDenied {
    /// One event is refused for good. Native clients drop the commit it belongs to and tell the application;
    /// LiveStore's protocol has no word for it, and a client of it tries again for ever.
    #[error("event {} of the batch is rejected ({}): {}", .0.index, .0.code, .0.message)]
    Rejected(Rejection),
    /// The batch is refused now. Clients keep it and try again.
    #[error(transparent)]
    Denied(#[from] AccessDenied),
}

impl From<Rejection> for PushDenied {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Lets everybody do everything: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
        Ok(Principal::new("anybody", Rights::ReadWrite))
    }

    async fn authorize_push(&self, _: &Principal, _: &StoreId, _: &[SyncedEvent]) -> Result<(), PushDenied> {
        Ok(())
    }
}

macro_rules! forward_authorizer {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Authorizer + ?Sized> Authorizer for $pointer<T> {
            async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
                (**self).authorize(request).await
            }
            async fn authorize_push(
                &self,
                principal: &Principal,
                store: &StoreId,
                events: &[SyncedEvent],
            ) -> Result<(), PushDenied> {
                (**self).authorize_push(principal, store, events).await
            }
        }
    };
}

forward_authorizer!(Box);
forward_authorizer!(Arc);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_printed() {
        let principal = Principal::new("alice", Rights::Read).with_extension("secret".to_owned());
        assert_eq!(principal.extension::<String>().unwrap(), "secret");
        assert!(principal.extension::<u8>().is_none());
        let store = StoreId::new("todo").unwrap();
        let payload = SyncPayload::new(&"secret").unwrap();
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, "secret".parse().unwrap())]);
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddr("127.0.0.1:1".parse().unwrap()));
        let request = AccessRequest::new(&store, Some(&payload), &headers, &extensions);
        let printed = format!("{principal:?} {request:?}");
        assert!(printed.contains("alice") && printed.contains("127.0.0.1:1"), "{printed}");
        assert!(!printed.contains("secret"), "{printed}");
    }
}
