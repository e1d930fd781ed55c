//! Raw clients, and a backend that waits until it is told to go on.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use http::HeaderValue;
use livestore_backend_memory::MemoryBackends;
use livestore_server::{Server, ServerLimits};
use livestore_traits::{
    Args, BackendProvider, BoxStream, Capabilities, ClientId, ConnectionStatus, EventName, GlobalSeq,
    ProviderError, Pull, PullError, PullPage, Push, PushAck, PushError, SessionId, StoreId, SyncBackend,
    SyncedEvent,
};
use livestore_wire::{ClientFrame, Encoding, SUBPROTOCOL, ServerFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_websockets::{ClientBuilder, Error, Message, WebSocketStream};

pub(crate) async fn serve(limits: ServerLimits) -> Server {
    Server::builder(MemoryBackends::new()).limits(limits).bind("127.0.0.1:0").await.unwrap()
}

pub(crate) fn store() -> StoreId {
    StoreId::new("todo").unwrap()
}

pub(crate) fn event(seq: u64, args: impl Into<String>) -> SyncedEvent {
    SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq - 1),
        name: EventName::new("v1.Noted").unwrap(),
        args: Args::parse(args.into()).unwrap(),
        client_id: ClientId::new("client").unwrap(),
        session_id: SessionId::new("session").unwrap(),
        commit: None,
        unit_end: true,
        created_at: None,
    }
}

/// A push of `count` events after `parent`.
pub(crate) fn push(parent: u64, count: u64) -> Push {
    let events = (1..=count).map(|n| event(parent + n, format!("[{n}]"))).collect();
    Push::new(None, GlobalSeq(parent), None, events)
}

/// What came back over plain HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// Sends bytes as they are, on a connection of its own, and reads until the server closes it.
pub(crate) async fn raw(server: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(request).await.unwrap();
    read_answer(&mut stream).await
}

pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) async fn get(server: SocketAddr, path: &str) -> Answer {
    request(server, "GET", path, &[], "").await
}

pub(crate) async fn post(server: SocketAddr, path: &str, body: &str) -> Answer {
    request(server, "POST", path, &[], body).await
}

pub(crate) async fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let len = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len}\r\n{headers}\r\n{body}"
    );
    raw(server, request.as_bytes()).await
}

/// A WebSocket without any of the client's manners.
pub(crate) struct RawSocket(pub(crate) WebSocketStream<TcpStream>);

impl RawSocket {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let mut socket = Self::open(server).await.unwrap();
        assert!(matches!(socket.frame().await, ServerFrame::Hello(_)));
        socket
    }

    pub(crate) async fn open(server: SocketAddr) -> Result<Self, Error> {
        Self::upgrade(server, TcpStream::connect(server).await.unwrap()).await
    }

    /// A client whose machine buffers little, so that a server soon notices that it does not read.
    pub(crate) async fn open_narrow(server: SocketAddr) -> Result<Self, Error> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        Self::upgrade(server, socket.connect(server).await.unwrap()).await
    }

    async fn upgrade(server: SocketAddr, stream: TcpStream) -> Result<Self, Error> {
        let uri = format!("ws://{server}/stores/todo/sync").parse().unwrap();
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        let builder = ClientBuilder::from_uri(uri)
            .limits(tokio_websockets::Limits::unlimited())
            .add_header(http::header::SEC_WEBSOCKET_PROTOCOL, protocol)?;
        Ok(Self(builder.connect_on(stream).await?.0))
    }

    pub(crate) async fn send(&mut self, frame: &ClientFrame) {
        self.0.send(Message::binary(Encoding::Postcard.encode(frame))).await.unwrap();
    }

    pub(crate) async fn message(&mut self) -> Message {
        self.0.next().await.expect("the server is still there").unwrap()
    }

    pub(crate) async fn frame(&mut self) -> ServerFrame {
        let message = self.message().await;
        assert!(message.is_binary(), "{message:?}");
        Encoding::Postcard.decode(message.as_payload()).unwrap()
    }

    /// How many bytes the body of the next page has, which must be the next thing that comes.
    pub(crate) async fn page(&mut self) -> usize {
        let frame = self.frame().await;
        assert!(matches!(frame, ServerFrame::Page { .. }), "{frame:?}");
        self.message().await.as_payload().len()
    }

    /// Why the server closes the connection, whatever comes before.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            let message = self.message().await;
            if let Some((code, reason)) = message.as_close() {
                return (code.into(), reason.to_owned());
            }
        }
    }
}

/// Stores in memory whose pushes wait for a permit of the gate.
#[derive(Clone, Debug)]
pub(crate) struct Gated {
    stores: MemoryBackends,
    pub(crate) gate: Arc<Semaphore>,
    /// One permit for each push that has arrived.
    pub(crate) arrived: Arc<Semaphore>,
}

impl Gated {
    pub(crate) fn new() -> Self {
        Self {
            stores: MemoryBackends::new(),
            gate: Arc::new(Semaphore::new(0)),
            arrived: Arc::new(Semaphore::new(0)),
        }
    }
}

#[async_trait]
impl BackendProvider for Gated {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        let backend = self.stores.open(store).await?;
        Ok(Arc::new(GatedBackend { backend, gated: self.clone() }))
    }
}

#[derive(Debug)]
struct GatedBackend {
    backend: Arc<dyn SyncBackend>,
    gated: Gated,
}

#[async_trait]
impl SyncBackend for GatedBackend {
    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.gated.arrived.add_permits(1);
        self.gated.gate.acquire().await.unwrap().forget();
        self.backend.push(push).await
    }
    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        self.backend.pull(pull)
    }
    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.backend.connection()
    }
}
