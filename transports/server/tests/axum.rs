//! The service mounted in an axum application, beside a route of its own and behind a layer that says who comes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use futures::{SinkExt, StreamExt};
use livestore_backend_memory::MemoryBackends;
use livestore_server::{
    AccessDenied, AccessRequest, Authorizer, PeerAddr, Principal, PushDenied, Rights, Server,
};
use livestore_traits::{
    Args, ClientId, Cursor, EventName, GlobalSeq, Pull, PullMode, Push, SessionId, StoreId, SyncBackend,
    SyncedEvent,
};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_ws::{SyncPayload, WsBackend, WsConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{ClientBuilder, Message};

/// A user that the application has found out, before sync is asked.
#[derive(Clone)]
struct User(&'static str);

/// Lets in whom the application knows or who has the token, and remembers from where.
struct Known(Arc<Mutex<Vec<SocketAddr>>>);

#[async_trait]
impl Authorizer for Known {
    async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
        self.0.lock().unwrap().push(request.peer().unwrap());
        if let Some(User(name)) = request.extensions.get() {
            return Ok(Principal::new(*name, Rights::ReadWrite));
        }
        match request.payload.map(SyncPayload::as_json) {
            Some(r#""token""#) => Ok(Principal::new("somebody", Rights::ReadWrite)),
            _ => Err(AccessDenied::unauthenticated("nobody we know")),
        }
    }

    async fn authorize_push(&self, _: &Principal, _: &StoreId, _: &[SyncedEvent]) -> Result<(), PushDenied> {
        Ok(())
    }
}

/// What an application does: passes on the peer, and the user of its own login.
async fn introduce(ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(PeerAddr(peer));
    if request.headers().get("cookie").is_some_and(|cookie| cookie == "session=7") {
        request.extensions_mut().insert(User("seven"));
    }
    next.run(request).await
}

async fn serve() -> (SocketAddr, Arc<Mutex<Vec<SocketAddr>>>) {
    let peers = Arc::new(Mutex::new(Vec::new()));
    let sync = Server::builder(MemoryBackends::new()).authorizer(Known(peers.clone())).into_service();
    let app = Router::new()
        .nest_service("/sync", sync)
        .layer(from_fn(introduce))
        .route("/hello", get(async || "hello"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (at, peers)
}

fn push(after: u64) -> Push {
    let event = SyncedEvent {
        seq: GlobalSeq(after + 1),
        parent: GlobalSeq(after),
        name: EventName::new("v1.Tested").unwrap(),
        args: Args::null(),
        client_id: ClientId::new("client").unwrap(),
        session_id: SessionId::new("session").unwrap(),
        commit: None,
        unit_end: true,
        created_at: None,
    };
    Push::new(None, GlobalSeq(after), None, vec![event])
}

async fn ask(at: SocketAddr, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn all_transports_work_below_a_route() {
    let (at, peers) = serve().await;
    let store = StoreId::new("todo").unwrap();
    let mut ws = WsConfig::new(&format!("ws://{at}/sync"), store.clone()).unwrap();
    ws.payload = Some(Arc::new(SyncPayload::new(&"token").unwrap()));
    let ws = WsBackend::new(ws);
    let mut http = HttpConfig::new(&format!("http://{at}/sync"), store).unwrap();
    http.headers.insert("cookie", "session=7".parse().unwrap());
    let http = HttpBackend::new(http);
    let mut pages = ws.pull(Pull::new(None, Cursor::start(), PullMode::Live));
    pages.next().await.unwrap().unwrap();
    http.push(push(0)).await.unwrap();
    assert_eq!(pages.next().await.unwrap().unwrap().through, GlobalSeq(1));

    let uri = format!("ws://{at}/sync?storeId=todo&payload=%2522token%2522&transport=ws").parse().unwrap();
    let stream = TcpStream::connect(at).await.unwrap();
    let (mut livestore, _) = ClientBuilder::from_uri(uri).connect_on(stream).await.unwrap();
    livestore.send(Message::text(r#"{"_tag":"Ping"}"#)).await.unwrap();
    let pong = livestore.next().await.unwrap().unwrap();
    assert_eq!(pong.as_text(), Some(r#"{"_tag":"Pong"}"#));

    assert!(peers.lock().unwrap().iter().all(|peer| peer.ip().is_loopback()));
    assert!(ask(at, "/hello", "").await.ends_with("hello"));
    assert!(ask(at, "/sync", "").await.contains("Info: Sync backend endpoint"));
    assert!(ask(at, "/sync/stores/todo", "").await.starts_with("HTTP/1.1 401"));
    assert!(ask(at, "/sync/stores/todo", "cookie: session=7\r\n").await.starts_with("HTTP/1.1 200"));
    assert!(ask(at, "/nothing", "").await.starts_with("HTTP/1.1 404"));
}
