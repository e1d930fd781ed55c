//! A scripted server at the other end of a pipe, on virtual time.

mod liveness;
mod pulling;
mod pushing;

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use livestore_dial::{DialError, Heard};
use livestore_traits::{
    Args, BackendId, BoxStream, ClientId, ConnectionStatus, Cursor, EventName, GlobalSeq, Pull, PullError,
    PullMode, PullPage, Push, PushAck, PushError, SessionId, StoreId, SyncBackend, SyncedEvent,
};
use livestore_wire::SyncPayload;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_websockets::{ClientBuilder, Message, ServerBuilder, WebSocketStream};

use super::LiveStoreWs;
use super::handshake::Connect;
use crate::{LiveStoreError, LiveStoreWsConfig};

const CREATED_AT: &str = "2026-11-23T04:57:17.674Z";

/// Where connections arrive.
struct Server {
    arriving: mpsc::UnboundedReceiver<Peer>,
}

/// Makes pipes instead of connections.
struct Pipes {
    arriving: mpsc::UnboundedSender<Peer>,
}

impl Connect for Pipes {
    type Stream = DuplexStream;

    async fn connect(
        &self,
        payload: Option<&SyncPayload>,
    ) -> Result<WebSocketStream<Heard<DuplexStream>>, LiveStoreError> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let peer = Peer {
            socket: ServerBuilder::new().serve(theirs),
            payload: payload.map(|payload| payload.as_json().to_owned()),
        };
        self.arriving.send(peer).map_err(|_| DialError::Connect("nobody listens".to_owned()))?;
        Ok(ClientBuilder::new().take_over(Heard::new(ours)))
    }
}

/// The server's end of a connection.
struct Peer {
    socket: WebSocketStream<DuplexStream>,
    payload: Option<String>,
}

impl Server {
    /// A connection that has not been pinged back.
    async fn accept_silently(&mut self) -> Peer {
        let mut peer = self.arriving.recv().await.unwrap();
        peer.expect(&json!({"_tag": "Ping"})).await;
        peer
    }

    async fn accept(&mut self) -> Peer {
        let mut peer = self.accept_silently().await;
        peer.say(json!({"_tag": "Pong"})).await;
        peer
    }
}

impl Peer {
    async fn say(&mut self, frame: Value) {
        self.say_text(frame.to_string()).await;
    }

    async fn say_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message, which is JSON.
    async fn hear(&mut self) -> Value {
        let message = self.socket.next().await.unwrap().unwrap();
        serde_json::from_slice(message.as_payload())
            .unwrap_or_else(|error| panic!("{message:?} is no JSON: {error}"))
    }

    async fn expect(&mut self, frame: &Value) {
        assert_eq!(self.hear().await, *frame);
    }

    /// A request and its id.
    async fn request(&mut self, tag: &str) -> (Value, Value) {
        let mut request = self.hear().await;
        assert_eq!((&request["_tag"], &request["tag"]), (&json!("Request"), &json!(tag)), "{request}");
        (request["id"].take(), request["payload"].take())
    }

    async fn pull(&mut self) -> (Value, Value) {
        self.request("SyncWsRpc.Pull").await
    }

    async fn push(&mut self) -> (Value, Value) {
        self.request("SyncWsRpc.Push").await
    }

    async fn chunk(&mut self, id: &Value, items: &[Value]) {
        self.say(json!({"_tag": "Chunk", "requestId": id, "values": items})).await;
    }

    async fn exit(&mut self, id: &Value, exit: Value) {
        self.say(json!({"_tag": "Exit", "requestId": id, "exit": exit})).await;
    }

    async fn fail(&mut self, id: &Value, error: Value) {
        let cause = json!({"_tag": "Fail", "error": error});
        self.exit(id, json!({"_tag": "Failure", "cause": cause})).await;
    }

    async fn expect_ack(&mut self, id: &Value) {
        self.expect(&json!({"_tag": "Ack", "requestId": id})).await;
    }

    /// Nothing more comes for a while.
    async fn expect_silence(&mut self) {
        let heard = tokio::time::timeout(std::time::Duration::from_secs(1), self.hear()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// The connection is closed as it should be.
    async fn expect_close(&mut self) {
        let message = self.socket.next().await.unwrap().unwrap();
        assert_eq!(message.as_close().map(|(code, _)| u16::from(code)), Some(1000), "{message:?}");
    }
}

fn config() -> LiveStoreWsConfig {
    LiveStoreWsConfig::new("ws://a", StoreId::new("todo").unwrap()).unwrap()
}

fn start_with(config: LiveStoreWsConfig) -> (Server, LiveStoreWs) {
    let (sender, arriving) = mpsc::unbounded_channel();
    (Server { arriving }, LiveStoreWs::with_connect(config, Pipes { arriving: sender }))
}

fn start() -> (Server, LiveStoreWs) {
    start_with(config())
}

/// Pushes in a task of its own.
fn pushing(backend: &LiveStoreWs, push: Push) -> JoinHandle<Result<PushAck, PushError>> {
    let backend = backend.clone();
    tokio::spawn(async move { backend.push(push).await })
}

fn pulling(backend: &LiveStoreWs, after: u64) -> BoxStream<'static, Result<PullPage, PullError>> {
    let cursor = Cursor { after: GlobalSeq(after), token: None };
    backend.pull(Pull::new(Some(id("b")), cursor, PullMode::Live))
}

fn id(text: &str) -> BackendId {
    BackendId::new(text).unwrap()
}

fn event(seq: u64) -> SyncedEvent {
    SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq - 1),
        name: EventName::new("n").unwrap(),
        args: Args::parse(format!("{{\"nr\":{seq}}}")).unwrap(),
        client_id: ClientId::new("c").unwrap(),
        session_id: SessionId::new("s").unwrap(),
        commit: None,
        unit_end: true,
        created_at: None,
    }
}

/// A push of the events `from..=to`, each a unit.
fn batch(from: u64, to: u64) -> Push {
    Push::new(Some(id("b")), GlobalSeq(from - 1), None, (from..=to).map(event).collect())
}

/// An event as the server writes it.
fn encoded(seq: u64) -> Value {
    json!({"name": "n", "args": {"nr": seq}, "seqNum": seq, "parentSeqNum": seq - 1, "clientId": "c", "sessionId": "s"})
}

/// An item of the events `from..=to`; none if `to` is before `from`.
fn item(from: u64, to: u64, info: Value) -> Value {
    let metadata =
        json!({"_tag": "Some", "value": {"_tag": "SyncMessage.SyncMetadata", "createdAt": CREATED_AT}});
    let entry = |seq| json!({"eventEncoded": encoded(seq), "metadata": metadata});
    let batch: Vec<_> = (from..=to).map(entry).collect();
    json!({"batch": batch, "pageInfo": info, "backendId": "b"})
}

fn no_more() -> Value {
    json!({"_tag": "NoMore"})
}

fn more(remaining: u64) -> Value {
    json!({"_tag": "MoreKnown", "remaining": remaining})
}

fn unknown(name: &str, message: &str) -> Value {
    json!({"_tag": "UnknownError", "cause": {"name": name, "message": message}})
}

fn numbers(page: &PullPage) -> Vec<u64> {
    page.events.iter().map(|event| event.seq.0).collect()
}
