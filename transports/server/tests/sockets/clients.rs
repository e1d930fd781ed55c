//! What clients do when servers go away, come back, fall silent or talk nonsense.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::HeaderValue;
use livestore_backend_memory::MemoryBackends;
use livestore_server::{Server, ServerLimits};
use livestore_traits::{
    Capabilities, ConnectionStatus, Cursor, Durability, Pull, PullError, PullMode, PushError, SyncBackend,
};
use livestore_transport_http::{Encoding, HttpBackend, HttpConfig, HttpError};
use livestore_transport_ws::{WsBackend, WsConfig, WsError};
use livestore_wire::{SUBPROTOCOL, ServerFrame, StoreForm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};

use crate::support::{Gated, push, serve, store};

fn config(server: SocketAddr) -> WsConfig {
    let mut config = WsConfig::new(&format!("ws://{server}"), store()).unwrap();
    config.min_backoff = Duration::from_millis(5);
    config.max_backoff = Duration::from_millis(20);
    config
}

fn ws(server: SocketAddr) -> WsBackend {
    WsBackend::new(config(server))
}

fn http(server: SocketAddr) -> HttpBackend {
    HttpBackend::new(HttpConfig::new(&format!("http://{server}"), store()).unwrap())
}

fn all(mode: PullMode) -> Pull {
    Pull::new(None, Cursor::start(), mode)
}

/// Why a pull ends, whatever pages come before.
async fn pull_error(backend: &impl SyncBackend) -> PullError {
    let mut pages = backend.pull(all(PullMode::Live));
    loop {
        if let Err(error) = pages.next().await.expect("a live pull never ends by itself") {
            assert!(pages.next().await.is_none(), "a pull goes on after its error");
            return error;
        }
    }
}

fn ws_error(error: &PullError) -> &WsError {
    match error {
        PullError::Offline(source) => source.downcast_ref().unwrap(),
        error => panic!("{error:?}"),
    }
}

/// An address where nobody listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Answers every connection in turn with `serve`.
async fn impostor<F: Future<Output = ()> + Send>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream).await;
        }
    });
    at
}

/// A WebSocket of an impostor that has said hello.
async fn hello(stream: TcpStream) -> WebSocketStream<TcpStream> {
    let protocol = HeaderValue::from_static(SUBPROTOCOL);
    let builder = ServerBuilder::new().add_header(http::header::SEC_WEBSOCKET_PROTOCOL, protocol).unwrap();
    let mut socket = builder.accept(stream).await.unwrap().1;
    let capabilities = Capabilities::new(Durability::Disk).into();
    let hello = ServerFrame::Hello(StoreForm { server: "impostor".into(), capabilities });
    socket.send(Message::binary(Encoding::Postcard.encode(&hello))).await.unwrap();
    socket
}

#[tokio::test]
async fn without_a_server_calls_are_offline() {
    let at = nowhere().await;
    let backends: [Box<dyn SyncBackend>; 2] = [Box::new(ws(at)), Box::new(http(at))];
    for backend in backends {
        let pushed = backend.push(push(0, 1)).await;
        assert!(matches!(pushed, Err(PushError::Offline(_))), "{pushed:?}");
        let ended = pull_error(&backend).await;
        assert!(matches!(ended, PullError::Offline(_)), "{ended:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_the_library_costs_one_attempt() {
    let at = impostor(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let accept = "A".repeat(400);
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let backend = ws(at);
    for _ in 0..2 {
        let pushed = backend.push(push(0, 1)).await;
        assert!(matches!(pushed, Err(PushError::Offline(_))), "{pushed:?}");
    }
}

#[tokio::test]
async fn a_broken_connection_ends_what_was_running() {
    let gated = Gated::new();
    let server = Server::builder(gated.clone()).bind("127.0.0.1:0").await.unwrap();
    let backend = ws(server.local_addr());
    let mut pages = backend.pull(all(PullMode::Live));
    pages.next().await.unwrap().unwrap();
    let pushed = tokio::spawn({
        let backend = backend.clone();
        async move { backend.push(push(0, 1)).await }
    });
    gated.arrived.acquire().await.unwrap().forget();
    drop(server);
    let pushed = pushed.await.unwrap();
    assert!(matches!(pushed, Err(PushError::Unacknowledged(_))), "{pushed:?}");
    assert!(matches!(pages.next().await, Some(Err(PullError::Offline(_)))));
    assert!(pages.next().await.is_none());
}

#[tokio::test]
async fn a_client_reconnects_by_itself() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let backend = ws(at);
    let mut statuses = backend.connection();
    assert_eq!(statuses.next().await, Some(ConnectionStatus::Offline));
    backend.push(push(0, 1)).await.unwrap();
    while statuses.next().await != Some(ConnectionStatus::Connected) {}
    drop(server);
    assert_eq!(statuses.next().await, Some(ConnectionStatus::Connecting));
    let server = Server::builder(MemoryBackends::new()).bind(at).await.unwrap();
    while statuses.next().await != Some(ConnectionStatus::Connected) {}
    backend.push(push(0, 1)).await.unwrap();
    drop(server);
}

#[tokio::test]
async fn a_shutdown_of_the_server_is_told_with_its_reason() {
    let server = serve(ServerLimits::DEFAULT).await;
    let backend = ws(server.local_addr());
    let mut pages = backend.pull(all(PullMode::Live));
    pages.next().await.unwrap().unwrap();
    assert!(server.shutdown().await);
    let error = pages.next().await.unwrap().unwrap_err();
    assert!(matches!(ws_error(&error), WsError::Closed { code: 1001, .. }), "{error:?}");
}

#[tokio::test]
async fn a_half_open_connection_is_noticed() {
    // Says hello and then never reads again, so that no ping is answered.
    let at = impostor(|stream| async move {
        let _socket = hello(stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut config = config(at);
    config.ping_interval = Duration::from_millis(20);
    config.pong_timeout = Duration::from_millis(50);
    let error = pull_error(&WsBackend::new(config)).await;
    assert!(matches!(ws_error(&error), WsError::Timeout), "{error:?}");
}

#[tokio::test]
async fn pings_keep_an_idle_connection_open() {
    let mut limits = ServerLimits::DEFAULT;
    limits.idle_timeout = Duration::from_millis(200);
    let server = serve(limits).await;
    let mut config = config(server.local_addr());
    config.ping_interval = Duration::from_millis(20);
    let backend = WsBackend::new(config);
    let mut pages = backend.pull(all(PullMode::Live));
    pages.next().await.unwrap().unwrap();
    // A silent connection would be closed several times over.
    let waited = tokio::time::timeout(Duration::from_secs(1), pages.next()).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn a_server_that_talks_nonsense_is_left() {
    let page = || ServerFrame::Page { id: 1, head: livestore_traits::PageInfo::CaughtUp.into() };
    let nonsense = [Message::binary(vec![0xff; 9]), Message::binary(Encoding::Postcard.encode(&page()))];
    for message in nonsense {
        let at = impostor(move |stream| {
            let message = message.clone();
            async move {
                let mut socket = hello(stream).await;
                socket.next().await.unwrap().unwrap();
                // Twice: after the head of a page its body is expected, and this is none.
                socket.send(message.clone()).await.unwrap();
                let _ = socket.send(message).await;
                while let Some(Ok(_)) = socket.next().await {}
            }
        })
        .await;
        let error = pull_error(&ws(at)).await;
        assert!(matches!(ws_error(&error), WsError::Protocol(_)), "{error:?}");
    }
}

#[tokio::test]
async fn refused_credentials_are_told() {
    let at = impostor(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let answer = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let backends: [Box<dyn SyncBackend>; 2] = [Box::new(ws(at)), Box::new(http(at))];
    for backend in backends {
        let pushed = backend.push(push(0, 1)).await;
        assert!(matches!(pushed, Err(PushError::Unauthorized(_))), "{pushed:?}");
        let ended = pull_error(&backend).await;
        assert!(matches!(ended, PullError::Unauthorized(_)), "{ended:?}");
    }
}

#[tokio::test]
async fn configured_headers_are_sent() {
    let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let at = impostor(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut request = vec![0; 4096];
            let len = stream.read(&mut request).await.unwrap();
            sender.send(String::from_utf8_lossy(&request[..len]).to_lowercase()).unwrap();
        }
    })
    .await;
    let bearer = HeaderValue::from_static("bearer abc");
    let mut ws = config(at);
    ws.headers.insert("authorization", bearer.clone());
    let mut http = HttpConfig::new(&format!("http://{at}"), store()).unwrap();
    http.headers.insert("authorization", bearer);
    let backends: [Box<dyn SyncBackend>; 2] =
        [Box::new(WsBackend::new(ws)), Box::new(HttpBackend::new(http))];
    for backend in backends {
        assert!(backend.push(push(0, 1)).await.is_err());
        let request = requests.recv().await.unwrap();
        assert!(request.contains("authorization: bearer abc"), "{request}");
    }
}

#[tokio::test]
async fn a_push_that_lost_its_answer_over_http_is_unacknowledged() {
    let gated = Gated::new();
    let server = Server::builder(gated.clone()).bind("127.0.0.1:0").await.unwrap();
    let backend = http(server.local_addr());
    let pushed = tokio::spawn(async move { backend.push(push(0, 1)).await });
    gated.arrived.acquire().await.unwrap().forget();
    drop(server);
    match pushed.await.unwrap() {
        Err(PushError::Unacknowledged(source)) => {
            assert!(matches!(source.downcast_ref(), Some(HttpError::Broken(_))), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_small_window_slows_a_pull_but_loses_nothing() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut config = config(server.local_addr());
    config.pull_window_bytes = 1;
    let backend = WsBackend::new(config);
    for parent in 0..5 {
        backend.push(push(parent * 100, 100)).await.unwrap();
    }
    let pages: Vec<_> = backend.pull(all(PullMode::Once)).collect().await;
    let seqs: Vec<u64> =
        pages.iter().flat_map(|page| page.as_ref().unwrap().events.iter().map(|event| event.seq.0)).collect();
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dropped_client_says_goodbye() {
    let (sender, closed) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let at = impostor(move |stream| {
        let sender = sender.lock().unwrap().take().unwrap();
        async move {
            let mut socket = hello(stream).await;
            while let Some(Ok(message)) = socket.next().await {
                if let Some((code, _)) = message.as_close() {
                    sender.send(u16::from(code)).unwrap();
                    return;
                }
            }
        }
    })
    .await;
    let backend = ws(at);
    let mut statuses = backend.connection();
    let mut pages = backend.pull(all(PullMode::Live));
    let first = futures::poll!(pages.next());
    assert!(first.is_pending());
    while statuses.next().await != Some(ConnectionStatus::Connected) {}
    drop((backend, pages, statuses));
    assert_eq!(closed.await.unwrap(), 1000);
}

#[tokio::test]
async fn a_busy_server_is_tried_again_later() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_open_stores = 0;
    let server = serve(limits).await;
    let at = server.local_addr();
    let pushed = http(at).push(push(0, 1)).await;
    assert!(matches!(pushed, Err(PushError::Busy(_))), "{pushed:?}");
    let pushed = ws(at).push(push(0, 1)).await;
    assert!(matches!(pushed, Err(PushError::Offline(_))), "{pushed:?}");
    let backends: [Box<dyn SyncBackend>; 2] = [Box::new(ws(at)), Box::new(http(at))];
    for backend in backends {
        let ended = pull_error(&backend).await;
        assert!(matches!(ended, PullError::Offline(_)), "{ended:?}");
    }
}
