//! A server that lets in who shows one of a few tokens, and remembers which stores were touched.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackends;
use livestore_server::{
    AccessDenied, AccessRequest, Authorizer, Principal, PushDenied, Rights, Server, ServerLimits, SyncPayload,
};
use livestore_traits::{
    BackendProvider, ProviderError, RejectCode, Rejection, StoreId, SyncBackend, SyncedEvent,
};

/// How long the access of the tokens `soon` and `once` lasts.
const SOON: Duration = Duration::from_millis(300);

/// What an authorizer has seen, and which stores were opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) peers: Arc<Mutex<Vec<SocketAddr>>>,
    pub(crate) opened: Arc<Mutex<Vec<StoreId>>>,
    /// Whether the token `once` has come.
    is_renewed: Arc<AtomicBool>,
}

/// Opens stores in memory, remembering which.
#[derive(Debug)]
struct Remembering {
    stores: MemoryBackends,
    seen: Seen,
}

#[async_trait]
impl BackendProvider for Remembering {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        self.seen.opened.lock().unwrap().push(store.clone());
        self.stores.open(store).await
    }
}

/// Decides by the payload, which is a token as a JSON text.
#[derive(Default)]
pub(crate) struct Tokens(Seen);

#[async_trait]
impl Authorizer for Tokens {
    async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
        self.0.peers.lock().unwrap().extend(request.peer());
        let Some(payload) = request.payload else {
            return Err(AccessDenied::unauthenticated("a token is needed"));
        };
        let token = serde_json::from_str::<String>(payload.as_json()).unwrap_or_default();
        match token.as_str() {
            _ if request.store.as_str() == "private" => Err(AccessDenied::forbidden("this store is private")),
            "writer" => Ok(Principal::new("writer", Rights::ReadWrite).with_extension(7_u32)),
            "reader" => Ok(Principal::new("reader", Rights::Read)),
            // Renewed once, it lasts.
            "once" if self.0.is_renewed.swap(true, Ordering::Relaxed) => {
                Ok(Principal::new("once", Rights::ReadWrite).with_extension(7_u32))
            }
            "once" | "soon" => {
                Ok(Principal::new("soon", Rights::ReadWrite).expiring_at(SystemTime::now() + SOON))
            }
            "over" => Ok(Principal::new("over", Rights::ReadWrite).expiring_at(SystemTime::now() - SOON)),
            "fails" => Err(AccessDenied::Unavailable("the user database at db-7 is gone".into())),
            "hangs" => std::future::pending().await,
            "panics" => panic!("a bug of the authorizer"),
            _ => Err(AccessDenied::unauthenticated("this token is not known")),
        }
    }

    async fn authorize_push(
        &self,
        principal: &Principal,
        _: &StoreId,
        events: &[SyncedEvent],
    ) -> Result<(), PushDenied> {
        assert_ne!(principal.rights, Rights::Read, "asked for nothing");
        assert!(principal.expires_at.is_some() || principal.extension::<u32>() == Some(&7));
        let position = |name: &str| events.iter().position(|event| event.name.as_str() == name);
        if let Some(index) = position("v1.Rejected") {
            let code = RejectCode::Policy("no-such-events".to_owned());
            return Err(Rejection { index, code, message: "not here".to_owned() }.into());
        }
        if position("v1.Revoked").is_some() {
            return Err(AccessDenied::unauthenticated("the token was revoked").into());
        }
        if position("v1.Absurd").is_some() {
            let code = RejectCode::Forbidden;
            return Err(Rejection { index: events.len(), code, message: "beyond the end".to_owned() }.into());
        }
        if position("v1.Panics").is_some() {
            panic!("a bug of the authorizer");
        }
        Ok(())
    }
}

/// A server behind [`Tokens`] that does not wait long for them.
pub(crate) async fn serve() -> (Server, Seen) {
    let mut limits = ServerLimits::DEFAULT;
    limits.authorize_timeout = Duration::from_millis(100);
    let seen = Seen::default();
    let provider = Remembering { stores: MemoryBackends::new(), seen: seen.clone() };
    let builder = Server::builder(provider).limits(limits).authorizer(Tokens(seen.clone()));
    (builder.bind("127.0.0.1:0").await.unwrap(), seen)
}

pub(crate) fn payload(token: &str) -> SyncPayload {
    SyncPayload::new(&token).unwrap()
}

/// The header that shows a token.
pub(crate) fn header(token: &str) -> String {
    payload(token).to_header().to_str().unwrap().to_owned()
}
