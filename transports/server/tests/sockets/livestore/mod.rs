//! Clients that speak LiveStore's own protocol by hand, as the scripts of the recordings do.

mod auth;
mod bad_input;
mod http;
mod pages;
mod polling;
mod sizes;
mod websocket;

use std::net::SocketAddr;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Error, Message, WebSocketStream};

/// A WebSocket without any of a real client's manners.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn open(server: SocketAddr) -> Self {
        Self::open_at(server, "/?storeId=todo&transport=ws").await.unwrap()
    }

    async fn open_at(server: SocketAddr, path: &str) -> Result<Self, Error> {
        let uri = format!("ws://{server}{path}").parse().unwrap();
        let builder = ClientBuilder::from_uri(uri).limits(tokio_websockets::Limits::unlimited());
        let stream = TcpStream::connect(server).await.unwrap();
        Ok(Self(builder.connect_on(stream).await?.0))
    }

    async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text.to_owned())).await.unwrap();
    }

    /// The next frame; that it is one text with one JSON object.
    async fn frame(&mut self) -> Value {
        let message = self.0.next().await.expect("the server is still there").unwrap();
        serde_json::from_str(message.as_text().unwrap_or_else(|| panic!("{message:?}"))).unwrap()
    }

    /// Sends a ping; that its answer is the next frame: nothing else was on the way.
    async fn hears_nothing(&mut self) {
        self.send(&json!({"_tag": "Ping"})).await;
        assert_eq!(self.frame().await, json!({"_tag": "Pong"}));
    }

    async fn ack(&mut self, id: &str) {
        self.send(&json!({"_tag": "Ack", "requestId": id})).await;
    }

    async fn pull(&mut self, id: &str, live: bool, cursor: Value) {
        let payload = json!({"storeId": "todo", "live": live, "cursor": cursor});
        self.send(&request(id, "SyncWsRpc.Pull", &payload)).await;
    }

    async fn push(&mut self, id: &str, batch: Vec<Value>, backend_id: Value) {
        let payload = json!({"storeId": "todo", "batch": batch, "backendId": backend_id});
        self.send(&request(id, "SyncWsRpc.Push", &payload)).await;
    }

    /// Pushes one event with these args, as they are, and with fields that nobody knows.
    async fn push_args(&mut self, seq: u64, args: &str) {
        let parent = seq - 1;
        self.send_text(&format!(
            r#"{{"_tag":"Request","id":"2","tag":"SyncWsRpc.Push","extra":1,"payload":{{"storeId":"todo","extra":1,"batch":[{{"name":"ünïcode 🎈","args":{args},"seqNum":{seq},"parentSeqNum":{parent},"clientId":"c","sessionId":"s","extra":true}}],"backendId":{{"_tag":"None"}}}}}}"#
        ))
        .await;
    }

    /// Pushes; that it is accepted, whatever else comes before.
    async fn pushes(&mut self, id: &str, batch: Vec<Value>) {
        self.push(id, batch, none()).await;
        loop {
            let frame = self.frame().await;
            if frame["_tag"] == "Exit" {
                assert_eq!(frame, accepted(id));
                return;
            }
        }
    }

    /// The item of the next frame, which must be a chunk of this pull.
    async fn item(&mut self, id: &str) -> Value {
        let mut frame = self.frame().await;
        assert_eq!((&frame["_tag"], &frame["requestId"]), (&json!("Chunk"), &json!(id)), "{frame}");
        let values = frame["values"].as_array_mut().unwrap();
        assert_eq!(values.len(), 1);
        values.remove(0)
    }

    /// The code with which the server closes the connection, and what came before.
    async fn closed(&mut self) -> (u16, Vec<Message>) {
        let mut before = Vec::new();
        loop {
            let message = self.0.next().await.expect("a close frame").unwrap();
            if let Some((code, _)) = message.as_close() {
                return (code.into(), before);
            }
            before.push(message);
        }
    }
}

fn request(id: &str, tag: &str, payload: &Value) -> Value {
    json!({"_tag": "Request", "id": id, "tag": tag, "payload": payload, "headers": []})
}

fn none() -> Value {
    json!({"_tag": "None"})
}

fn cursor(backend_id: &str, after: u64) -> Value {
    json!({"_tag": "Some", "value": {"backendId": backend_id, "eventSequenceNumber": after}})
}

fn event(seq: u64) -> Value {
    let args = json!({"id": format!("raw-{seq}"), "text": format!("todo {seq}")});
    json!({"name": "v1.TodoCreated", "args": args, "seqNum": seq, "parentSeqNum": seq - 1, "clientId": "raw", "sessionId": "static"})
}

fn events(numbers: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    numbers.map(event).collect()
}

fn accepted(id: &str) -> Value {
    json!({"_tag": "Exit", "requestId": id, "exit": {"_tag": "Success", "value": {}}})
}

fn ended(id: &str) -> Value {
    json!({"_tag": "Exit", "requestId": id, "exit": {"_tag": "Success"}})
}

/// The failure of a request; that it is one, in the dialect of 0.4.0.
fn error(frame: &Value, id: &str) -> Value {
    assert_eq!((&frame["_tag"], &frame["requestId"]), (&json!("Exit"), &json!(id)), "{frame}");
    assert_eq!(frame["exit"]["cause"]["_tag"], "Fail", "{frame}");
    frame["exit"]["cause"]["error"].clone()
}

/// The numbers of an item's events.
fn numbers(item: &Value) -> Vec<u64> {
    let batch = item["batch"].as_array().unwrap();
    batch.iter().map(|entry| entry["eventEncoded"]["seqNum"].as_u64().unwrap()).collect()
}

fn no_more() -> Value {
    json!({"_tag": "NoMore"})
}
