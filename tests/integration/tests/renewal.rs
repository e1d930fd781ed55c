//! A client whose token has expired goes on by itself once the token is renewed: no new store, no restart, no call.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackends;
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{line, notebook, read};
use livestore_server::{
    AccessDenied, AccessRequest, Authorizer, Principal, PushDenied, Rights, Server, SyncPayload,
};
use livestore_traits::{StoreId, SyncBackend, SyncedEvent};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_ws::{PayloadSource, WsBackend, WsConfig};

const LIMIT: Duration = Duration::from_secs(10);

/// Takes the token "old" once, for a moment, and "new" for ever.
#[derive(Default)]
struct Tokens {
    has_expired: AtomicBool,
}

#[async_trait]
impl Authorizer for Tokens {
    async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
        match request.payload.map(SyncPayload::as_json) {
            Some(r#""new""#) => Ok(Principal::new("new", Rights::ReadWrite)),
            Some(r#""old""#) if !self.has_expired.swap(true, Ordering::Relaxed) => {
                let soon = SystemTime::now() + Duration::from_millis(50);
                Ok(Principal::new("old", Rights::ReadWrite).expiring_at(soon))
            }
            _ => Err(AccessDenied::unauthenticated("the token has expired")),
        }
    }

    async fn authorize_push(&self, _: &Principal, _: &StoreId, _: &[SyncedEvent]) -> Result<(), PushDenied> {
        Ok(())
    }
}

fn ws(server: &Server, source: Arc<dyn PayloadSource>) -> Arc<dyn SyncBackend> {
    let url = format!("ws://{}", server.local_addr());
    let mut config = WsConfig::new(&url, StoreId::new("notes").unwrap()).unwrap();
    config.payload = Some(source);
    Arc::new(WsBackend::new(config))
}

fn http(server: &Server, source: Arc<dyn PayloadSource>) -> Arc<dyn SyncBackend> {
    let url = format!("http://{}", server.local_addr());
    let mut config = HttpConfig::new(&url, StoreId::new("notes").unwrap()).unwrap();
    config.payload = Some(source);
    Arc::new(HttpBackend::new(config))
}

async fn goes_on(connect: fn(&Server, Arc<dyn PayloadSource>) -> Arc<dyn SyncBackend>) {
    let builder = Server::builder(MemoryBackends::new()).authorizer(Tokens::default());
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let is_renewed = Arc::new(AtomicBool::new(false));
    let source = {
        let is_renewed = is_renewed.clone();
        move || {
            let token = if is_renewed.load(Ordering::Relaxed) { "new" } else { "old" };
            async move { Ok(SyncPayload::new(&token)?) }
        }
    };
    let client = notebook(&MemoryStorage::default())
        .upstream(connect(&server, Arc::new(source)))
        .start()
        .await
        .unwrap();
    let refused =
        |error: &Option<String>| error.as_ref().is_some_and(|error| error.contains("not authorized"));
    client.watch_status().wait_for(|status| refused(&status.last_error)).await.unwrap();
    let written = client.commit([line("while refused")]).unwrap();
    written.persisted().await.unwrap();

    let always = Arc::new(SyncPayload::new(&"new").unwrap());
    let other = notebook(&MemoryStorage::default()).upstream(connect(&server, always)).start().await.unwrap();
    other.commit([line("by another")]).unwrap().confirmed().await.unwrap();
    assert!(refused(&client.store_status().leader.last_error));
    assert_eq!(read(&client).lines, ["while refused"]);

    is_renewed.store(true, Ordering::Relaxed);
    assert_eq!(written.confirmed().await.unwrap().to_string(), "e2r1");
    assert_eq!(read(&client).lines, ["by another", "while refused"]);
    other.session().wait_for(|status| status.settled_head.global.0 == 2).await.unwrap();
    assert_eq!(read(&other).lines, read(&client).lines);
    assert_eq!(client.synced().await.unwrap().last_error, None);
    for store in [client, other] {
        store.shutdown(LIMIT).await.unwrap();
    }
}

#[tokio::test]
async fn over_a_websocket() {
    goes_on(ws).await;
}

#[tokio::test]
async fn over_http() {
    goes_on(http).await;
}
