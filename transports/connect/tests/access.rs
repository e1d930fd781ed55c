//! What a server that wants a payload says over LiveStore's wire, and that a renewed one is enough.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use livestore_backend_memory::MemoryBackends;
use livestore_connect::{Connect, SyncPayload};
use livestore_server::{AccessDenied, AccessRequest, Authorizer, Principal, PushDenied, Rights, Server};
use livestore_traits::{Cursor, Pull, PullError, PullMode, StoreId, SyncBackend, SyncedEvent};

/// Lets in who knows the word.
struct Word;

#[async_trait]
impl Authorizer for Word {
    async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
        match request.payload.map(|payload| payload.as_json()) {
            Some(r#"{"word":"ü & %"}"#) => Ok(Principal::new("friend", Rights::ReadWrite)),
            _ => Err(AccessDenied::unauthenticated("speak, friend")),
        }
    }

    async fn authorize_push(&self, _: &Principal, _: &StoreId, _: &[SyncedEvent]) -> Result<(), PushDenied> {
        Ok(())
    }
}

async fn first_error(backend: &dyn SyncBackend) -> Option<PullError> {
    backend.pull(Pull::new(None, Cursor::start(), PullMode::Once)).next().await.unwrap().err()
}

#[tokio::test]
async fn a_refused_payload_is_told_and_the_right_one_lets_in() {
    let server = Server::builder(MemoryBackends::new()).authorizer(Word).bind("127.0.0.1:0").await.unwrap();
    for scheme in ["livestore+ws", "livestore+http"] {
        let knows = Arc::new(AtomicBool::new(false));
        let source = {
            let knows = knows.clone();
            move || {
                let text = if knows.load(Ordering::Relaxed) { r#"{"word":"ü & %"}"# } else { "{}" };
                async move { Ok(SyncPayload::from_json(text)?) }
            }
        };
        let url = format!("{scheme}://{}/any/path?key=1", server.local_addr());
        let connect = Connect::to(url, StoreId::new("todo").unwrap()).payload(source);
        let backend = connect.backend().unwrap();
        let error = first_error(&*backend).await.unwrap();
        assert!(
            matches!(&error, PullError::Unauthorized(why) if why.contains("speak, friend")),
            "{scheme}: {error:?}"
        );
        knows.store(true, Ordering::Relaxed);
        assert!(first_error(&*backend).await.is_none(), "{scheme}");
    }
}
