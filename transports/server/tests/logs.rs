//! What stands in the logs. In a process of its own, because tracing decides once per process which of its call sites
//! anybody listens to: tests that run beside this one, without a subscriber, would have a say in it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackends;
use livestore_conformance::backend::sample_events;
use livestore_server::{AccessDenied, AccessRequest, Authorizer, Principal, PushDenied, Server, SyncPayload};
use livestore_traits::{GlobalSeq, Push, StoreId, SyncBackend, SyncedEvent};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_ws::{PayloadSource, WsBackend, WsConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Nobody;

#[async_trait]
impl Authorizer for Nobody {
    async fn authorize(&self, _: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
        Err(AccessDenied::unauthenticated("nobody is let in"))
    }

    async fn authorize_push(&self, _: &Principal, _: &StoreId, _: &[SyncedEvent]) -> Result<(), PushDenied> {
        unreachable!("nobody is let in")
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn push() -> Push {
    Push::new(None, GlobalSeq(0), None, sample_events("client", GlobalSeq(0), 1))
}

/// Both native clients, showing `payload`.
fn clients(server: &Server, payload: &SyncPayload) -> [Box<dyn SyncBackend>; 2] {
    let (at, store) = (server.local_addr(), StoreId::new("todo").unwrap());
    let source: Arc<dyn PayloadSource> = Arc::new(payload.clone());
    let mut ws = WsConfig::new(&format!("ws://{at}"), store.clone()).unwrap();
    ws.payload = Some(source.clone());
    let mut http = HttpConfig::new(&format!("http://{at}"), store).unwrap();
    http.payload = Some(source);
    [Box::new(WsBackend::new(ws)), Box::new(HttpBackend::new(http))]
}

async fn post(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let head = "HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(format!("POST {path} {head}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn payloads_stand_in_no_log() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let builder = Server::builder(MemoryBackends::new()).authorizer(Nobody);
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let payload = SyncPayload::new(&"secret-of-mallory").unwrap();
    for client in clients(&server, &payload) {
        assert!(client.push(push()).await.is_err());
    }
    for path in ["/?storeId=todo&transport=http", "/?storeId=todo&transport=ws"] {
        let answer = post(&server, &format!("{path}&payload=%2522secret-of-mallory%2522")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(!answer.contains("mallory"), "{answer}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("access refused").count(), 4, "{log}");
    assert!(!log.contains("mallory") && !log.contains(payload.to_header().to_str().unwrap()), "{log}");
}
