//! Whole conversations with the server: any messages in any order, over a connection in memory, to a backend in memory.
//!
//! Time is virtual, so a server that waits for something that does not come shows as a time that is long over.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use http::{HeaderName, Request};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use livestore_backend_memory::{Clock, LogConfig, MemoryBackends};
use livestore_server::{Server, SyncService};
use livestore_traits::{
    BackendProvider, Cursor, GlobalSeq, Pull, PullMode, PullPage, StoreId, SyncBackend, UnixMillis,
};
use livestore_wire::livestore::{self, Transport, decode_client_frames};
use livestore_wire::{ClientFrame, Encoding, SUBPROTOCOL, ServerFrame};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

/// Between the messages of a conversation; no UTF-8 has it.
pub(crate) const SEPARATOR: &[u8] = b"\xff\xfe";

/// Stands in inputs for the id of the log, which is another one in each run, and is as long.
pub(crate) const LOG_ID: &str = "the-id-of-this-log-00";

/// Longer than all bounds of the server together.
const HANG: Duration = Duration::from_secs(600);
/// Why the server closes a connection to which it owes nothing.
const IDLE: [&str; 2] = ["nothing was heard for too long", "no pull came"];
/// A fixed time: runs are the same each time.
const NOW: UnixMillis = UnixMillis(1_795_409_837_674);
const PIPE_BYTES: usize = 64 * 1024;
/// The most messages of one conversation: each costs time, and no more are needed to get into any state.
const MAX_MESSAGES: usize = 32;

/// The messages of an input.
pub(super) fn messages(input: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    let mut rest = input;
    while let Some(end) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        messages.push(&rest[..end]);
        rest = &rest[end + SEPARATOR.len()..];
    }
    messages.push(rest);
    messages.truncate(MAX_MESSAGES);
    messages
}

/// Runs on virtual time; what takes too long of it hangs.
pub(super) fn block_on(conversation: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async { timeout(HANG, conversation).await.expect("the conversation hangs") });
}

fn backends() -> MemoryBackends {
    let config = LogConfig { clock: Clock::new(|| NOW), ..LogConfig::default() };
    MemoryBackends::with_config(config)
}

/// The log of the store that conversations are about.
async fn log(backends: &MemoryBackends) -> Vec<PullPage> {
    let store = StoreId::new("todo").expect("a valid id");
    let backend = BackendProvider::open(backends, &store).await.expect("memory never fails");
    let pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    pages.map(|page| page.expect("memory never fails")).collect().await
}

/// The input with the id of the log where it stands for it.
async fn with_log_id(input: &[u8], backends: &MemoryBackends) -> Vec<u8> {
    let id = log(backends).await[0].backend_id.clone();
    assert_eq!(id.as_str().len(), LOG_ID.len(), "lengths in the input would be wrong");
    let mut input = input.to_vec();
    let places = (0..input.len()).filter(|place| input[*place..].starts_with(LOG_ID.as_bytes()));
    for place in places.collect::<Vec<_>>() {
        input[place..place + LOG_ID.len()].copy_from_slice(id.as_str().as_bytes());
    }
    input
}

/// What a store holds, whatever was said to it, is one chain from the root.
async fn check_store(backends: &MemoryBackends) {
    let mut head = GlobalSeq::ROOT;
    for event in log(backends).await.iter().flat_map(|page| page.events.iter()) {
        assert_eq!((event.parent, event.seq), (head, head.next()), "the chain is broken");
        head = event.seq;
    }
}

/// Requests, each a line as `POST /stores/todo/push name: value` and then its body, all at once.
pub(super) fn http(input: &[u8]) {
    block_on(async {
        let backends = backends();
        let service = Server::builder(backends.clone()).into_service();
        let input = with_log_id(input, &backends).await;
        let requests = messages(&input).into_iter().filter_map(request);
        let answers: Vec<_> = requests.map(|request| answer(&service, request)).collect();
        join_all(answers).await;
        check_store(&backends).await;
    });
}

async fn answer(service: &SyncService, request: Request<Full<Bytes>>) {
    let response = service.answer(request).await;
    let is_json = response.headers().get("content-type").is_some_and(|kind| kind == "application/json");
    let is_known = matches!(response.status().as_u16(), 101 | 200..=299 | 304 | 400..=499 | 503 | 504);
    assert!(is_known, "{}", response.status());
    let body = response.into_body().collect().await.expect("an answer is complete").to_bytes();
    if is_json && !body.is_empty() {
        serde_json::from_slice::<&serde_json::value::RawValue>(&body).expect("an answer is JSON");
    }
}

fn request(message: &[u8]) -> Option<Request<Full<Bytes>>> {
    let (line, body) = match message.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&message[..end], &message[end + 1..]),
        None => (message, &b""[..]),
    };
    let mut words = line.split(|byte| *byte == b' ');
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    *request.method_mut() = words.next()?.try_into().ok()?;
    *request.uri_mut() = words.next()?.try_into().ok()?;
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        let name = HeaderName::from_bytes(name.strip_suffix(b":")?).ok()?;
        request.headers_mut().append(name, value.try_into().ok()?);
    }
    Some(request)
}

/// What a client of a WebSocket speaks.
struct Protocol {
    uri: &'static str,
    subprotocol: Option<&'static str>,
    /// How its messages travel.
    message: fn(&[u8]) -> Message,
    /// The requests in a message that the server owes an answer.
    asked: fn(&[u8]) -> Vec<String>,
    /// Which request a message of the server answers.
    answered: fn(&[u8]) -> Option<String>,
}

/// The messages of a LiveStore client.
pub(super) fn livestore_ws(input: &[u8]) {
    let protocol = Protocol {
        uri: "ws://a/?storeId=todo&transport=ws",
        subprotocol: None,
        message: |message| match std::str::from_utf8(message) {
            Ok(text) => Message::text(text.to_owned()),
            Err(_) => Message::binary(message.to_vec()),
        },
        asked: |message| {
            let frames = decode_client_frames(message, Transport::Ws).into_iter();
            let asked = frames.filter_map(|frame| match frame {
                Ok(livestore::ClientFrame::Request(request)) => Some(format!("{:?}", request.id)),
                _ => None,
            });
            asked.collect()
        },
        answered: |message| match livestore::ServerFrame::decode(message).expect("it speaks its protocol") {
            livestore::ServerFrame::Chunk { request_id, .. }
            | livestore::ServerFrame::Exit { request_id, .. } => Some(format!("{request_id:?}")),
            livestore::ServerFrame::Defect(_) | livestore::ServerFrame::Pong => None,
        },
    };
    block_on(websocket(protocol, input));
}

/// The messages of a native client.
pub(super) fn native_ws(input: &[u8]) {
    let protocol = Protocol {
        uri: "ws://a/stores/todo/sync",
        subprotocol: Some(SUBPROTOCOL),
        message: |message| Message::binary(message.to_vec()),
        // A pull may have no window, and one that is cancelled has no answer.
        asked: |message| match Encoding::Postcard.decode(message) {
            Ok(ClientFrame::Push { id, .. }) => vec![id.to_string()],
            _ => Vec::new(),
        },
        // Bodies of pages are no frames.
        answered: |message| match Encoding::Postcard.decode(message) {
            Ok(ServerFrame::PushAck { id, .. } | ServerFrame::PushRefused { id, .. }) => Some(id.to_string()),
            _ => None,
        },
    };
    block_on(websocket(protocol, input));
}

/// Says all of it, reads until nothing more comes, and leaves: every request is answered or the connection closed for a
/// reason, and the server is done with it.
async fn websocket(protocol: Protocol, input: &[u8]) {
    let backends = backends();
    let input = with_log_id(input, &backends).await;
    let service = Server::builder(backends.clone()).into_service();
    let (mut socket, served) = connect(&service, &protocol).await;
    for message in messages(&input) {
        // It may have closed the connection, and still says why.
        if socket.send((protocol.message)(message)).await.is_err() {
            break;
        }
    }
    let mut unanswered: BTreeSet<_> = messages(&input).into_iter().flat_map(protocol.asked).collect();
    // Silence passes at once on virtual time: it ends when the server closes what is idle.
    while let Some(Ok(message)) = socket.next().await {
        if let Some((_, reason)) = message.as_close() {
            assert!(!IDLE.contains(&reason) || unanswered.is_empty(), "no answer to {unanswered:?}");
        } else if let Some(id) = (protocol.answered)(message.as_payload()) {
            unanswered.remove(&id);
        }
    }
    drop(socket);
    served.await.expect("serving a connection does not panic");
    assert!(service.shutdown().await, "a websocket outlives its connection");
    check_store(&backends).await;
}

async fn connect(
    service: &SyncService,
    protocol: &Protocol,
) -> (WebSocketStream<DuplexStream>, JoinHandle<()>) {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(far), service.clone()).with_upgrades();
    let served = tokio::spawn(async { drop(connection.await) });
    let mut builder = ClientBuilder::new().uri(protocol.uri).expect("a valid URI");
    if let Some(subprotocol) = protocol.subprotocol {
        let name = HeaderName::from_static("sec-websocket-protocol");
        builder =
            builder.add_header(name, subprotocol.parse().expect("a valid name")).expect("an allowed header");
    }
    let (socket, _) = builder.connect_on(near).await.expect("the server speaks WebSocket");
    (socket, served)
}
