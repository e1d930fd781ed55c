//! The user's routes and sync, through one listener.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use embedded_server::serve;
use futures::StreamExt as _;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use livestore_backend_memory::MemoryBackends;
use livestore_server::Server;
use livestore_traits::{
    Args, ClientId, Cursor, EventName, GlobalSeq, Pull, PullMode, Push, SessionId, StoreId, SyncBackend,
    SyncedEvent,
};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_ws::{WsBackend, WsConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Running {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn start() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let sync = Server::builder(MemoryBackends::new()).into_service();
    let ended = tokio::spawn(serve(listener, sync, async {
        stopped.await.unwrap();
    }));
    Running { addr, stop, ended }
}

async fn get(addr: SocketAddr, path: &str) -> (StatusCode, String) {
    let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "test").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn clients(addr: SocketAddr) -> [Arc<dyn SyncBackend>; 2] {
    let store = StoreId::new("todo").unwrap();
    let ws = WsConfig::new(&format!("ws://{addr}/sync"), store.clone()).unwrap();
    let http = HttpConfig::new(&format!("http://{addr}/sync"), store).unwrap();
    [Arc::new(WsBackend::new(ws)), Arc::new(HttpBackend::new(http))]
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

#[tokio::test]
async fn own_routes_answer_beside_sync() {
    let running = start().await;
    let (status, page) = get(running.addr, "/").await;
    assert!(status.is_success() && page.contains("routes of its own"), "{page}");
    assert_eq!(get(running.addr, "/hello").await, (StatusCode::OK, "hello\n".into()));
    for unknown in ["/nothing", "/synchronous", "/sync", "/stores/todo"] {
        assert_eq!(get(running.addr, unknown).await, (StatusCode::NOT_FOUND, "not found\n".into()));
    }
    assert_eq!(get(running.addr, "/sync/health").await.0, StatusCode::OK);
    assert_eq!(get(running.addr, "/sync/stores/todo").await.0, StatusCode::OK);
}

#[tokio::test]
async fn clients_of_both_transports_share_a_store() {
    let running = start().await;
    let [ws, http] = clients(running.addr);
    ws.push(push(0)).await.unwrap();
    http.push(push(1)).await.unwrap();
    for client in [ws, http] {
        let mut pages = client.pull(Pull::new(None, Cursor::start(), PullMode::Live));
        let mut through = GlobalSeq(0);
        while through < GlobalSeq(2) {
            through = pages.next().await.unwrap().unwrap().through;
        }
    }
    assert_eq!(get(running.addr, "/hello").await.0, StatusCode::OK);
}

/// A WebSocket and a waiting poll would keep a server that only stops accepting alive.
#[tokio::test]
async fn it_stops_while_clients_follow() {
    let running = start().await;
    let mut pulls = Vec::new();
    for client in clients(running.addr) {
        let mut pages = client.pull(Pull::new(None, Cursor::start(), PullMode::Live));
        pages.next().await.unwrap().unwrap();
        pulls.push(pages);
    }
    running.stop.send(()).unwrap();
    running.ended.await.unwrap();
    assert!(TcpStream::connect(running.addr).await.is_err());
}
