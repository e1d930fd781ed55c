//! What a server answers to those who don't keep to the rules, and that nobody else notices.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Gated, RawSocket, event, get, post, push, raw, read_answer, request, serve};
use futures::{SinkExt, StreamExt};
use livestore_server::{Server, ServerLimits};
use livestore_traits::{Cursor, GlobalSeq, Pull, PullMode, Push};
use livestore_wire::{ClientFrame, PullErrorForm, PushErrorForm, ServerFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_websockets::{Error, Message};

/// Short enough to wait for, in tests where the wait must end.
const SHORT: Duration = Duration::from_millis(100);
const WINDOW: u32 = 1024 * 1024;

fn pull_all(id: u64, window: u32) -> ClientFrame {
    ClientFrame::pull(id, Pull::new(None, Cursor::start(), PullMode::Live), window)
}

/// That a server which was treated badly still serves others.
async fn still_serves(server: SocketAddr) {
    let mut socket = RawSocket::connect(server).await;
    socket.send(&pull_all(1, WINDOW)).await;
    socket.page().await;
    assert_eq!(get(server, "/health").await.status, 200);
}

#[tokio::test]
async fn paths_that_lead_nowhere_and_wrong_methods() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let long = format!("/stores/{}/pull", "x".repeat(10_240));
    for (method, path, status, error) in [
        ("GET", "/nothing", 404, "notFound"),
        ("GET", "/stores", 404, "notFound"),
        ("GET", "/stores/todo/nope", 404, "notFound"),
        ("GET", "/stores/../../etc/passwd", 400, "badRequest"),
        ("GET", "/stores/%2e%2e/pull", 400, "badRequest"),
        ("GET", "/stores/a%2Fb/pull", 400, "badRequest"),
        ("GET", "/stores/.hidden", 400, "badRequest"),
        ("GET", &long, 400, "badRequest"),
        ("GET", "/stores/todo/push", 405, "methodNotAllowed"),
        ("POST", "/stores/todo/pull", 405, "methodNotAllowed"),
        ("GET", "/stores/todo/pull?after=-1", 400, "badRequest"),
        ("GET", "/stores/todo/pull?befor=1", 400, "badRequest"),
        ("GET", "/stores/todo/sync", 426, "upgradeRequired"),
    ] {
        let answer = request(at, method, path, &[], "").await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &error.into()), "{method} {path}");
        assert!(!answer.json()["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(get(at, "/stores/todo/push").await.header("allow"), Some("POST"));
    still_serves(at).await;
}

/// The kinds of errors number their variants alike: in postcard, the `badRequest` of a server reads as the
/// `clientIdTaken` of a backend.
#[tokio::test]
async fn errors_are_json_whatever_the_client_prefers() {
    let server = serve(ServerLimits::DEFAULT).await;
    let accept = [("accept", "application/x-livestore-postcard")];
    let answer = request(server.local_addr(), "GET", "/stores/todo/pull?after=x", &accept, "").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["error"], "badRequest");
    let answer = request(server.local_addr(), "GET", "/stores/todo/pull", &accept, "").await;
    assert_eq!(answer.header("content-type"), Some("application/x-livestore-postcard"));
}

#[tokio::test]
async fn bytes_that_are_no_request() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    assert_eq!(raw(at, b"\x16\x03\x01\x02\x00 not http\r\n\r\n").await.status, 400);
    let endless_head = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 100_000]].concat();
    assert_eq!(raw(at, &endless_head).await.status, 431);
    still_serves(at).await;
}

#[tokio::test]
async fn handshakes_for_other_protocols() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let upgrade = [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13"), key];
    let answer = request(at, "GET", "/stores/todo/sync", &upgrade, "").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("livestore.v1"), "{answer:?}");
    let later = [&upgrade[..], &[("sec-websocket-protocol", "livestore.v2")]].concat();
    assert_eq!(request(at, "GET", "/stores/todo/sync", &later, "").await.status, 400);
    still_serves(at).await;
}

#[tokio::test]
async fn pushes_that_make_no_sense() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let event = |seq: u64, parent: u64, args: &str| {
        format!(
            r#"{{"seq":{seq},"parent":{parent},"name":"v1.A","args":{args},"clientId":"c","sessionId":"s"}}"#
        )
    };
    let batch =
        |parent: u64, events: &[String]| format!(r#"{{"parent":{parent},"events":[{}]}}"#, events.join(","));
    let many: Vec<_> = (1..=101).map(|seq| event(seq, seq - 1, "1")).collect();
    for (body, status, error) in [
        (String::new(), 400, "invalid"),
        ("{".to_owned(), 400, "invalid"),
        ("[]".to_owned(), 400, "invalid"),
        (batch(0, &[]), 400, "invalid"),
        (batch(0, &[event(1, 0, "{")]), 400, "invalid"),
        (batch(0, &[event(1, 0, "9007199254740993")]), 400, "invalid"),
        (batch(0, &[event(1, 0, r#"{"a":1,"a":2}"#)]), 400, "invalid"),
        (batch(0, &[event(1, 0, "1"), event(3, 2, "1")]), 400, "invalid"),
        (batch(3, &[event(4, 3, "1")]), 409, "upstreamAhead"),
        (batch(0, &many), 413, "tooLarge"),
        (batch(0, &[event(1, 0, &format!("\"{}\"", "x".repeat(970_000)))]), 422, "rejected"),
    ] {
        let answer = post(at, "/stores/todo/push", &body).await;
        let shown: String = body.chars().take(200).collect();
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        assert!(answer.json()["error"].get(error).is_some(), "{shown}: {answer:?}");
    }
    assert_eq!(get(at, "/stores/todo/pull").await.json()["through"], 0, "something was stored");
}

#[tokio::test]
async fn cursors_of_another_history() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    for query in ["after=7", "after=0&backend=other"] {
        let answer = get(at, &format!("/stores/todo/pull?{query}")).await;
        assert_eq!(answer.status, 409, "{query}: {answer:?}");
        assert!(answer.json()["error"].get("diverged").is_some(), "{query}: {answer:?}");
    }
}

#[tokio::test]
async fn bodies_that_are_too_large_or_too_slow() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_frame_bytes = 10_000;
    limits.body_timeout = SHORT;
    let server = serve(limits).await;
    let at = server.local_addr();
    let answer = post(at, "/stores/todo/push", &"x".repeat(10_001)).await;
    assert_eq!((answer.status, &answer.json()["error"]), (413, &"bodyTooLarge".into()));
    let slow = raw(at, b"POST /stores/todo/push HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{").await;
    assert_eq!((slow.status, &slow.json()["error"]), (408, &"timeout".into()));
    still_serves(at).await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_closed() {
    let mut limits = ServerLimits::DEFAULT;
    limits.header_timeout = SHORT;
    let server = serve(limits).await;
    let mut slow = TcpStream::connect(server.local_addr()).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nx-slow: ").await.unwrap();
    let mut rest = Vec::new();
    // Ends when the server closes the connection; whether it says something before is hyper's choice.
    let _ = slow.read_to_end(&mut rest).await;
    still_serves(server.local_addr()).await;
}

#[tokio::test]
async fn frames_that_make_no_sense_close_their_connection_only() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_frame_bytes = 10_000;
    let server = serve(limits).await;
    let at = server.local_addr();
    let mut bystander = RawSocket::connect(at).await;
    for (message, code) in [
        (Message::binary(vec![0xff; 20]), 1002),
        (Message::binary(Vec::new()), 1002),
        (Message::text("hello"), 1003),
        (Message::binary(vec![0; 10_001]), 1009),
    ] {
        let mut socket = RawSocket::connect(at).await;
        socket.0.send(message.clone()).await.unwrap();
        let (closed, reason) = socket.closed().await;
        assert_eq!(closed, code, "{reason}");
        assert!(!reason.is_empty());
    }
    let mut socket = RawSocket::connect(at).await;
    socket.send(&pull_all(1, WINDOW)).await;
    socket.send(&pull_all(1, WINDOW)).await;
    assert_eq!(socket.closed().await.0, 1002, "two pulls of one id");

    bystander.send(&pull_all(1, WINDOW)).await;
    bystander.page().await;
}

#[tokio::test]
async fn frames_for_what_is_not_running_are_ignored() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut socket = RawSocket::connect(server.local_addr()).await;
    socket.send(&ClientFrame::Cancel { id: 7 }).await;
    socket.send(&ClientFrame::Credit { id: 7, bytes: u32::MAX }).await;
    socket.send(&pull_all(7, WINDOW)).await;
    socket.page().await;
}

#[tokio::test]
async fn more_pushes_and_pulls_than_allowed_are_refused() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_pushes_per_connection = 2;
    limits.max_pulls_per_connection = 1;
    let gated = Gated::new();
    let builder = Server::builder(gated.clone()).limits(limits);
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let mut socket = RawSocket::connect(server.local_addr()).await;
    for id in 1..=3 {
        socket.send(&ClientFrame::Push { id, push: push(0, 1).into() }).await;
    }
    let frame = socket.frame().await;
    assert!(matches!(&frame, ServerFrame::PushRefused { id: 3, error: PushErrorForm::Busy(_) }), "{frame:?}");
    gated.gate.add_permits(2);
    for _ in 0..2 {
        let frame = socket.frame().await;
        assert!(matches!(frame, ServerFrame::PushAck { id: 1 | 2, .. }), "{frame:?}");
    }
    socket.send(&pull_all(4, WINDOW)).await;
    socket.page().await;
    socket.send(&pull_all(5, WINDOW)).await;
    let frame = socket.frame().await;
    let refused =
        ServerFrame::PullEnd { id: 5, error: Some(PullErrorForm::Offline("1 pulls are running".into())) };
    assert_eq!(frame, refused);
}

/// A page is sent while the window is open, so it is overdrawn by one page at most.
#[tokio::test]
async fn no_page_is_sent_into_a_closed_window() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut socket = RawSocket::connect(server.local_addr()).await;
    socket.send(&ClientFrame::Push { id: 1, push: push(0, 3).into() }).await;
    assert!(matches!(socket.frame().await, ServerFrame::PushAck { .. }));
    socket.send(&pull_all(2, 1)).await;
    let bytes = socket.page().await;
    for parent in 3..6 {
        socket.send(&ClientFrame::Push { id: parent, push: push(parent, 1).into() }).await;
        assert!(matches!(socket.frame().await, ServerFrame::PushAck { .. }), "a page came before the answer");
    }
    socket.send(&ClientFrame::Credit { id: 2, bytes: u32::try_from(bytes).unwrap() }).await;
    socket.page().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped_and_delays_nobody() {
    let mut limits = ServerLimits::DEFAULT;
    limits.write_timeout = SHORT;
    limits.max_websockets = 3;
    let server = serve(limits).await;
    let at = server.local_addr();
    let mut deaf = RawSocket::open_narrow(at).await.unwrap();
    // Its window stays open, so that only the socket holds the server back.
    deaf.send(&pull_all(1, u32::MAX)).await;
    let mut reader = RawSocket::connect(at).await;
    reader.send(&pull_all(1, u32::MAX)).await;
    reader.page().await;
    let mut pusher = RawSocket::connect(at).await;
    for parent in 0..40 {
        let large = format!("\"{}\"", "x".repeat(500_000));
        let batch = Push::new(None, GlobalSeq(parent), None, vec![event(parent + 1, large)]);
        pusher.send(&ClientFrame::Push { id: parent, push: batch.into() }).await;
        assert!(matches!(pusher.frame().await, ServerFrame::PushAck { .. }));
        reader.page().await;
    }
    // Its place is free once the server has given it up.
    while RawSocket::open(at).await.is_err() {}
    // What the sockets hold can still be read; then comes the end, not the rest of 20 MB.
    let mut read = 0;
    while let Some(Ok(message)) = deaf.0.next().await {
        read += message.as_payload().len();
    }
    assert!(read < 40 * 500_000, "the deaf client got everything");
}

#[tokio::test]
async fn a_silent_websocket_is_closed() {
    let mut limits = ServerLimits::DEFAULT;
    limits.idle_timeout = SHORT;
    let server = serve(limits).await;
    let mut silent = RawSocket::connect(server.local_addr()).await;
    assert_eq!(silent.closed().await.0, 1008);
}

#[tokio::test]
async fn more_websockets_than_allowed_are_refused() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_websockets = 1;
    let server = serve(limits).await;
    let at = server.local_addr();
    let first = RawSocket::connect(at).await;
    let second = RawSocket::open(at).await.err().unwrap();
    let refused = tokio_websockets::upgrade::Error::DidNotSwitchProtocols(503);
    assert!(
        matches!(&second, Error::Upgrade(error) if error.to_string() == refused.to_string()),
        "{second:?}"
    );
    assert_eq!(get(at, "/health").await.status, 200);
    drop(first);
    // Its place is free again once the server has noticed.
    while RawSocket::open(at).await.is_err() {}
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_connections = 1;
    let server = serve(limits).await;
    let at = server.local_addr();
    let mut first = TcpStream::connect(at).await.unwrap();
    first.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let mut second = TcpStream::connect(at).await.unwrap();
    assert!(matches!(second.read(&mut [0; 1]).await, Ok(0) | Err(_)), "a second connection was served");
    first.write_all(b"connection: close\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut first).await.status, 200);
}

#[tokio::test]
async fn more_stores_than_allowed_are_refused_unless_one_is_idle() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_open_stores = 1;
    let server = serve(limits).await;
    let at = server.local_addr();
    let socket = RawSocket::connect(at).await;
    let answer = get(at, "/stores/other/pull").await;
    assert_eq!((answer.status, &answer.json()["error"]), (503, &"busy".into()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop(socket);
    while get(at, "/stores/other/pull").await.status == 503 {}
    assert_eq!(get(at, "/stores/another/pull").await.status, 200);
}
