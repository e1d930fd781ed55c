//! The clients of the measurements.

use std::net::SocketAddr;

use futures::{SinkExt, StreamExt};
use http::HeaderValue;
use livestore_traits::{
    Args, ClientId, Cursor, EventName, GlobalSeq, Pull, PullMode, Push, PushError, SessionId, StoreId,
    SyncBackend, SyncedEvent,
};
use livestore_transport_ws::{WsBackend, WsConfig};
use livestore_wire::{ClientFrame, Encoding, SUBPROTOCOL};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

pub(crate) fn backend(at: SocketAddr, store: &str) -> WsBackend {
    WsBackend::new(WsConfig::new(&format!("ws://{at}"), StoreId::new(store).unwrap()).unwrap())
}

/// A client that pushes what it makes up.
pub(crate) struct Pusher {
    pub(crate) backend: WsBackend,
    pub(crate) head: u64,
    client: ClientId,
    session: SessionId,
    name: EventName,
}

impl Pusher {
    pub(crate) fn new(at: SocketAddr, store: &str, client: &str) -> Self {
        Self {
            backend: backend(at, store),
            head: 0,
            client: ClientId::new(client).unwrap(),
            session: SessionId::new("session").unwrap(),
            name: EventName::new("v1.TodoCreated").unwrap(),
        }
    }

    /// Pushes a batch on the head it knows; a refusal tells it the head. Whether it was accepted.
    pub(crate) async fn push(&mut self, count: usize) -> bool {
        let events = (1..=count as u64).map(|n| self.event(self.head + n)).collect();
        match self.backend.push(Push::new(None, GlobalSeq(self.head), None, events)).await {
            Ok(ack) => {
                self.head = ack.cursor.after.0;
                true
            }
            Err(PushError::UpstreamAhead { head, .. }) => {
                self.head = head.0;
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn event(&self, seq: u64) -> SyncedEvent {
        SyncedEvent {
            seq: GlobalSeq(seq),
            parent: GlobalSeq(seq - 1),
            name: self.name.clone(),
            args: Args::parse(format!(r#"{{"id":"{seq:020}","text":"{}"}}"#, "x".repeat(112))).unwrap(),
            client_id: self.client.clone(),
            session_id: self.session.clone(),
            commit: None,
            unit_end: true,
            created_at: None,
        }
    }
}

/// A WebSocket that follows a store and decodes nothing: what a subscriber costs at least. It has had the first page.
pub(crate) async fn subscriber(at: SocketAddr, store: &str) -> WebSocketStream<TcpStream> {
    let uri = format!("ws://{at}/stores/{store}/sync").parse().unwrap();
    let stream = TcpStream::connect(at).await.unwrap();
    let mut socket = ClientBuilder::from_uri(uri)
        .add_header(http::header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL))
        .unwrap()
        .connect_on(stream)
        .await
        .unwrap()
        .0;
    let pull = ClientFrame::pull(1, Pull::new(None, Cursor::start(), PullMode::Live), u32::MAX);
    socket.send(Message::binary(Encoding::Postcard.encode(&pull))).await.unwrap();
    // The hello, and the first page with its head.
    for _ in 0..3 {
        socket.next().await.unwrap().unwrap();
    }
    socket
}
