//! Clients whose server says anything: a pull and a push each end, and what is pulled is pages.
//!
//! Over real sockets, because that is what clients dial; on virtual time nevertheless, so that none of their patience is
//! waited for. A timer may run out because a socket was a moment late; nothing that is checked depends on it.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{SinkExt, StreamExt, future};
use http::{HeaderName, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use livestore_traits::{
    Args, ClientId, Cursor, EventName, GlobalSeq, Pull, PullMode, Push, SessionId, StoreId, SyncBackend,
    SyncedEvent,
};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_livestore::{LiveStoreHttp, LiveStoreHttpConfig, LiveStoreWs, LiveStoreWsConfig};
use livestore_transport_ws::{WsBackend, WsConfig};
use livestore_wire::SUBPROTOCOL;
use tokio::net::TcpListener;
use tokio_websockets::{Message, ServerBuilder};

use super::server::{block_on, messages};

/// What stands between the head and the body of an answer of [`http_server`].
const END_OF_HEAD: u8 = b'\n';

pub(super) fn native_ws(input: &[u8]) {
    block_on(async {
        let addr = ws_server(input, Some(SUBPROTOCOL)).await;
        let config = WsConfig::new(&format!("ws://{addr}"), store()).expect("a valid URL");
        use_it(&WsBackend::new(config), Pages::Any).await;
    });
}

pub(super) fn livestore_ws(input: &[u8]) {
    block_on(async {
        let addr = ws_server(input, None).await;
        let config = LiveStoreWsConfig::new(&format!("ws://{addr}"), store()).expect("a valid URL");
        use_it(&LiveStoreWs::new(config), Pages::InOrder).await;
    });
}

pub(super) fn native_http(input: &[u8]) {
    block_on(async {
        let addr = http_server(input).await;
        let config = HttpConfig::new(&format!("http://{addr}"), store()).expect("a valid URL");
        use_it(&HttpBackend::new(config), Pages::Any).await;
    });
}

pub(super) fn livestore_http(input: &[u8]) {
    block_on(async {
        let addr = http_server(input).await;
        let config = LiveStoreHttpConfig::new(&format!("http://{addr}"), store()).expect("a valid URL");
        use_it(&LiveStoreHttp::new(config), Pages::InOrder).await;
    });
}

fn store() -> StoreId {
    StoreId::new("todo").expect("a valid id")
}

/// What a client promises of the pages it gives on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pages {
    /// Each is one; the engine trims what repeats and asks again where something is missing.
    Any,
    /// Each goes on where the last one ended.
    InOrder,
}

async fn use_it(backend: &dyn SyncBackend, pages: Pages) {
    future::join(pull(backend, pages), push(backend)).await;
    // Once more, after whatever it was told about its first calls.
    pull(backend, pages).await;
}

async fn pull(backend: &dyn SyncBackend, promised: Pages) {
    let mut pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Live));
    let mut head = GlobalSeq::ROOT;
    while let Some(page) = pages.next().await {
        let Ok(page) = page else {
            assert!(pages.next().await.is_none(), "a pull goes on after its error");
            return;
        };
        assert!(promised == Pages::Any || page.after == head, "{page:?} follows {head}");
        let mut last = page.after;
        for event in page.events.iter() {
            assert!(last < event.seq, "{page:?}");
            last = event.seq;
        }
        assert!(last <= page.through && page.cursor.after == page.through, "{page:?}");
        head = page.through;
    }
}

async fn push(backend: &dyn SyncBackend) {
    let event = SyncedEvent {
        seq: GlobalSeq(1),
        parent: GlobalSeq::ROOT,
        name: EventName::new("v1.A").expect("a valid name"),
        args: Args::null(),
        client_id: ClientId::new("c").expect("a valid id"),
        session_id: SessionId::new("s").expect("a valid id"),
        commit: None,
        unit_end: true,
        created_at: None,
    };
    if let Ok(ack) = backend.push(Push::new(None, GlobalSeq::ROOT, None, vec![event])).await {
        // What else it may say is for the engine to judge.
        assert!(!ack.backend_id.as_str().is_empty());
    }
}

/// Sends the messages of `input` over the first connection, and is gone after it.
async fn ws_server(input: &[u8], subprotocol: Option<&'static str>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let messages: Vec<_> = messages(input).into_iter().map(Bytes::copy_from_slice).collect();
    tokio::spawn(async move {
        let Ok((stream, _)) = listener.accept().await else { return };
        drop(listener);
        let mut builder = ServerBuilder::new();
        if let Some(subprotocol) = subprotocol {
            let name = HeaderName::from_static("sec-websocket-protocol");
            let value = subprotocol.parse().expect("a valid name");
            builder = builder.add_header(name, value).expect("an allowed header");
        }
        let Ok((_, mut socket)) = builder.accept(stream).await else { return };
        for message in messages {
            // What it says comes between: a client that has asked nothing yet has no use for answers.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(1), socket.next()).await;
            if socket.send(Message::binary(message)).await.is_err() {
                return;
            }
        }
        let _ = socket.close().await;
    });
    addr
}

/// Answers each request with the next message of `input`, `200 application/json`, a line break and a body; after the last
/// one it breaks the connection.
async fn http_server(input: &[u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let answers: VecDeque<_> = messages(input).into_iter().filter_map(answer).collect();
    let answers = Arc::new(Mutex::new(answers));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answers = answers.clone();
            let service = service_fn(move |_| {
                let next = answers.lock().expect("no test panics with it").pop_front();
                ready(next.ok_or("there are no more answers"))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    addr
}

fn answer(message: &[u8]) -> Option<Response<Full<Bytes>>> {
    let end = message.iter().position(|byte| *byte == END_OF_HEAD)?;
    let mut words = message[..end].split(|byte| *byte == b' ');
    let body = Full::new(Bytes::copy_from_slice(&message[end + 1..]));
    let mut answer = Response::builder().status(words.next()?);
    if let Some(kind) = words.next() {
        answer = answer.header("content-type", kind);
    }
    answer.body(body).ok().filter(|answer| !answer.status().is_informational())
}
