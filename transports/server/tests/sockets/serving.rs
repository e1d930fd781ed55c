//! What a server promises beyond the backends' contract: long polls, history, draining, mounting.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Answer, Gated, RawSocket, event, get, post, push, request, serve, store};
use futures::StreamExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use livestore_backend_memory::MemoryBackends;
use livestore_server::{Server, ServerLimits, SyncService};
use livestore_traits::{Cursor, Pull, PullMode, SyncBackend};
use livestore_transport_http::{Encoding, HttpBackend, HttpConfig};
use livestore_transport_ws::{WsBackend, WsConfig};
use livestore_wire::{ClientFrame, HistoryForm, PushForm, ServerFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn push_json(parent: u64, count: u64) -> String {
    let bytes = Encoding::Json.encode(&PushForm::from(push(parent, count)));
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn fill(server: SocketAddr, parent: u64, count: u64) -> Answer {
    let answer = post(server, "/stores/todo/push", &push_json(parent, count)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[tokio::test]
async fn a_long_poll_ends_with_the_event_it_waits_for() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let poll = get(at, "/stores/todo/pull?wait=60s");
    let (answer, _) = tokio::join!(poll, fill(at, 0, 1));
    let page = answer.json();
    assert_eq!((&page["through"], &page["events"][0]["seq"]), (&1.into(), &1.into()), "{page}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let rest = format!("/stores/todo/pull?after=1&token={}&wait=60s", page["token"].as_str().unwrap());
    let (answer, _) = tokio::join!(get(at, &rest), fill(at, 1, 1));
    assert_eq!(answer.json()["events"][0]["seq"], 2);
}

#[tokio::test]
async fn a_long_poll_that_hears_nothing_ends_with_an_empty_page() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_wait = Duration::from_millis(50);
    let server = serve(limits).await;
    let page = get(server.local_addr(), "/stores/todo/pull?wait=1000s").await.json();
    assert_eq!((&page["through"], &page["caughtUp"]), (&0.into(), &true.into()));
}

/// A long poll holds a connection and a pull; a client that left must not hold them for as long as it asked.
#[tokio::test]
async fn a_long_poll_whose_client_leaves_ends() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_connections = 1;
    limits.max_wait = Duration::from_secs(3600);
    let server = serve(limits).await;
    let at = server.local_addr();
    let mut leaving = TcpStream::connect(at).await.unwrap();
    leaving.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    leaving.read_exact(&mut [0; 12]).await.unwrap();
    leaving.write_all(b"GET /stores/todo/pull?wait=3600s HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    drop(leaving);
    // The only connection that is allowed is free again.
    loop {
        let mut next = TcpStream::connect(at).await.unwrap();
        let _ = next.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
        if next.read_exact(&mut [0; 12]).await.is_ok() {
            return;
        }
    }
}

/// A peer that asks for more than all buffers hold, and never reads, would keep its connection for ever.
#[tokio::test]
async fn answers_that_nobody_takes_end_the_connection() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_connections = 1;
    limits.write_timeout = Duration::from_millis(50);
    let server = serve(limits).await;
    let at = server.local_addr();
    let requests = "GET /stores/todo/pull HTTP/1.1\r\nhost: a\r\n\r\n".repeat(5000);
    fill(at, 0, 100).await;
    let greedy = loop {
        // The connection before may not have ended yet.
        let mut greedy = TcpStream::connect(at).await.unwrap();
        let _ = greedy.write_all(requests.as_bytes()).await;
        if greedy.read_exact(&mut [0; 12]).await.is_ok() {
            break greedy;
        }
    };
    // The only connection that is allowed is free again.
    loop {
        let mut next = TcpStream::connect(at).await.unwrap();
        let _ = next.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
        if next.read_exact(&mut [0; 12]).await.is_ok() {
            break;
        }
    }
    drop(greedy);
}

#[tokio::test]
async fn a_store_says_what_it_can_do() {
    let server = serve(ServerLimits::DEFAULT).await;
    let store = get(server.local_addr(), "/stores/todo").await.json();
    assert_eq!(store["capabilities"]["limits"]["maxBatchEvents"], 100);
    assert!(store["server"].as_str().unwrap().starts_with("livestore-server/"));
}

#[tokio::test]
async fn full_pages_of_history_are_immutable() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let ack = fill(at, 0, 99).await.json();
    let path = format!("/stores/todo/history/{}/0", ack["backendId"].as_str().unwrap());
    assert_eq!(get(at, &path).await.status, 404, "the page is not full");
    fill(at, 99, 50).await;

    let answer = request(at, "GET", &path, &[("te", "chunked")], "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("private, max-age=31536000, immutable"));
    assert!(answer.header("vary").unwrap().contains("livestore-payload"), "kept for the next user");
    let page: HistoryForm = Encoding::Json.decode(unchunked(&answer.body).as_bytes()).unwrap();
    assert_eq!((page.after.0, page.through.0), (0, 100));
    assert_eq!(
        page.events.iter().map(|event| event.seq.0).collect::<Vec<_>>(),
        (1..=100).collect::<Vec<_>>()
    );

    let etag = answer.header("etag").unwrap();
    let again = request(at, "GET", &path, &[("if-none-match", etag)], "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    for path in ["/stores/todo/history/other/0", &path.replace("/0", "/1")] {
        let answer = request(at, "GET", path, &[("if-none-match", "*")], "").await;
        assert_eq!((answer.status, answer.header("cache-control")), (404, Some("no-store")), "{path}");
    }
}

#[tokio::test]
async fn history_of_public_stores_may_be_kept_by_shared_caches() {
    let builder = Server::builder(MemoryBackends::new()).public_history(true);
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr();
    let ack = fill(at, 0, 100).await.json();
    let path = format!("/stores/todo/history/{}/0", ack["backendId"].as_str().unwrap());
    assert!(get(at, &path).await.header("cache-control").unwrap().starts_with("public,"));
}

/// The body of an answer that came in chunks.
fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((len, rest)) = body.split_once("\r\n") {
        let len = usize::from_str_radix(len, 16).unwrap();
        text.push_str(&rest[..len]);
        body = rest[len..].trim_start_matches("\r\n");
    }
    text
}

#[tokio::test]
async fn a_shutdown_answers_what_is_in_flight_and_says_goodbye() {
    let gated = Gated::new();
    let server = Server::builder(gated.clone()).bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr();
    let mut socket = RawSocket::connect(at).await;
    socket.send(&ClientFrame::Push { id: 1, push: push(0, 1).into() }).await;
    let poll = tokio::spawn(async move { get(at, "/stores/other/pull?wait=60s").await });
    let http_push = tokio::spawn(async move { post(at, "/stores/third/push", &push_json(0, 1)).await });
    gated.arrived.acquire_many(2).await.unwrap().forget();

    let shutdown = tokio::spawn(async move { server.shutdown().await });
    assert_eq!(poll.await.unwrap().json()["through"], 0, "the long poll is answered early");
    while TcpStream::connect(at).await.is_ok() {}
    gated.gate.add_permits(2);
    assert!(matches!(socket.frame().await, ServerFrame::PushAck { id: 1, .. }));
    assert_eq!(socket.closed().await.0, 1001);
    drop(socket);
    assert_eq!(http_push.await.unwrap().status, 200);
    assert!(shutdown.await.unwrap(), "everything was done in time");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let mut limits = ServerLimits::DEFAULT;
    limits.shutdown_timeout = Duration::from_millis(50);
    let gated = Gated::new();
    let server = Server::builder(gated.clone()).limits(limits).bind("127.0.0.1:0").await.unwrap();
    let mut socket = RawSocket::connect(server.local_addr()).await;
    socket.send(&ClientFrame::Push { id: 1, push: push(0, 1).into() }).await;
    gated.arrived.acquire().await.unwrap().forget();
    assert!(!server.shutdown().await);
}

#[tokio::test]
async fn dropping_a_server_stops_it() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let mut socket = RawSocket::connect(at).await;
    drop(server);
    assert!(!matches!(socket.0.next().await, Some(Ok(_))));
    while TcpStream::connect(at).await.is_ok() {}
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let server = serve(ServerLimits::DEFAULT).await;
    let second = Server::builder(MemoryBackends::new()).bind(server.local_addr()).await;
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

/// Somebody's own server with sync beside its own routes, below a path.
async fn somebody(service: SyncService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service.clone();
            let route =
                hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                    let path = request.uri().path_and_query().unwrap().as_str();
                    let below = path.strip_prefix("/sync").unwrap_or("/elsewhere").to_owned();
                    *request.uri_mut() = below.parse().unwrap();
                    tower_service::Service::call(&mut service.clone(), request)
                });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), route).with_upgrades());
        }
    });
    at
}

#[tokio::test]
async fn the_service_mounts_into_another_server() {
    let service = Server::builder(MemoryBackends::new()).into_service();
    let at = somebody(service.clone()).await;
    assert_eq!(get(at, "/sync/health").await.json()["status"], "ok");
    assert_eq!(get(at, "/mine").await.status, 404);

    let ws = WsBackend::new(WsConfig::new(&format!("ws://{at}/sync"), store()).unwrap());
    let http = HttpBackend::new(HttpConfig::new(&format!("http://{at}/sync"), store()).unwrap());
    ws.push(push(0, 2)).await.unwrap();
    http.push(push(2, 1)).await.unwrap();
    let mut pages = ws.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    let page = pages.next().await.unwrap().unwrap();
    assert_eq!(page.through.0, 3);
    drop((ws, http, pages));

    assert!(service.shutdown().await);
    assert_eq!(get(at, "/sync/health").await.status, 503);
    assert_eq!(get(at, "/sync/stores/todo/pull").await.status, 503);
}

#[tokio::test]
async fn one_store_is_served_over_every_transport_at_once() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let ws = WsBackend::new(WsConfig::new(&format!("ws://{at}"), store()).unwrap());
    let mut follower = ws.pull(Pull::new(None, Cursor::start(), PullMode::Live));
    assert_eq!(follower.next().await.unwrap().unwrap().through.0, 0);
    fill(at, 0, 1).await;
    let page = follower.next().await.unwrap().unwrap();
    assert!(page.events[0].is_same(&event(1, "[1]")));
}
