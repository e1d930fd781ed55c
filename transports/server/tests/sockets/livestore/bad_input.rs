//! What is wrong with a message, what is answered, and whether the connection works afterwards: everything of the
//! recording `ws-22`, and what wedges the reference server.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use livestore_backend_memory::MemoryBackends;
use livestore_server::{Server, ServerLimits};
use livestore_traits::{
    BackendProvider, BoxStream, Capabilities, ConnectionStatus, ProviderError, Pull, PullError, PullPage,
    Push, PushAck, PushError, StoreId, SyncBackend,
};
use serde_json::{Value, json};

use super::{Client, accepted, event, none, numbers, request};
use crate::support::serve;

/// That the connection works.
async fn still_serves(client: &mut Client, after: &str) {
    client.pull("99", false, none()).await;
    let frame = client.frame().await;
    assert_eq!((&frame["_tag"], &frame["requestId"]), (&json!("Chunk"), &json!("99")), "after {after}");
}

#[tokio::test]
async fn messages_that_are_answered() {
    let server = serve(ServerLimits::DEFAULT).await;
    let unknown = |tag: &str| json!({"_tag": "Defect", "defect": format!("Unknown request tag: {tag}")});
    let pull = json!({"storeId": "todo", "live": false, "cursor": none()});
    for (text, expected) in [
        ("42".to_owned(), unknown("undefined")),
        ("true".to_owned(), unknown("undefined")),
        (r#""text""#.to_owned(), unknown("undefined")),
        (json!([{"_tag": "Ping"}]).to_string(), unknown("undefined")),
        (json!([request("0", "SyncWsRpc.Pull", &pull)]).to_string(), unknown("undefined")),
        ("{}".to_owned(), unknown("undefined")),
        (json!({"_tag": "Nope"}).to_string(), unknown("Nope")),
        (request("0", "SyncWsRpc.Nope", &json!({})).to_string(), unknown("SyncWsRpc.Nope")),
        (
            request("0", "SyncHttpRpc.Ping", &json!({"storeId": "todo"})).to_string(),
            unknown("SyncHttpRpc.Ping"),
        ),
        (request("0", "SyncWsRpc.Ping", &json!({"storeId": "todo"})).to_string(), unknown("SyncWsRpc.Ping")),
    ] {
        let mut client = Client::open(server.local_addr()).await;
        client.send_text(&text).await;
        assert_eq!(client.frame().await, expected, "{text}");
        still_serves(&mut client, &text).await;
    }
    for text in ["this is not json", "", "{", r#"{"_tag":"Ping"} {}"#, "\u{feff}{}"] {
        let mut client = Client::open(server.local_addr()).await;
        client.send_text(text).await;
        let frame = client.frame().await;
        assert_eq!(
            (&frame["_tag"], &frame["defect"]["name"]),
            (&json!("Defect"), &json!("SyntaxError")),
            "{text}"
        );
        still_serves(&mut client, text).await;
    }
}

#[tokio::test]
async fn payloads_that_do_not_fit() {
    let server = serve(ServerLimits::DEFAULT).await;
    let with = |field: &str, value: Value| {
        let mut event = event(1);
        event[field] = value;
        json!({"storeId": "todo", "batch": [event], "backendId": none()})
    };
    for (tag, payload) in [
        ("SyncWsRpc.Pull", json!({"storeId": "todo", "live": false})),
        ("SyncWsRpc.Pull", json!({"storeId": "todo", "cursor": none()})),
        ("SyncWsRpc.Pull", json!({"live": false, "cursor": none()})),
        ("SyncWsRpc.Pull", json!({"storeId": "todo", "live": 1, "cursor": none()})),
        ("SyncWsRpc.Pull", json!({"storeId": "todo", "live": false, "cursor": null})),
        ("SyncWsRpc.Pull", json!({"storeId": "todo", "live": false, "cursor": {"_tag": "Some"}})),
        (
            "SyncWsRpc.Pull",
            json!({"storeId": "todo", "live": false, "cursor": super::cursor("b", 1)["value"]}),
        ),
        ("SyncWsRpc.Push", with("seqNum", json!("1"))),
        ("SyncWsRpc.Push", with("seqNum", json!(1.5))),
        ("SyncWsRpc.Push", with("parentSeqNum", json!(-1))),
        ("SyncWsRpc.Push", with("name", json!(7))),
        ("SyncWsRpc.Push", with("clientId", json!("x".repeat(10_000)))),
        ("SyncWsRpc.Push", json!({"storeId": "todo", "batch": {}, "backendId": none()})),
        ("SyncWsRpc.Push", json!({"storeId": "todo", "batch": [1], "backendId": none()})),
        ("SyncWsRpc.Push", json!({"storeId": "todo", "batch": []})),
        ("SyncWsRpc.Push", json!(null)),
        ("SyncWsRpc.Push", json!([])),
    ] {
        let mut client = Client::open(server.local_addr()).await;
        client.send(&request("0", tag, &payload)).await;
        let frame = client.frame().await;
        assert_eq!((&frame["_tag"], &frame["requestId"]), (&json!("Exit"), &json!("0")), "{payload}");
        assert_eq!(frame["exit"]["cause"]["_tag"], "Die", "{payload}: {frame}");
        assert!(!frame["exit"]["cause"]["defect"].as_str().unwrap().is_empty());
        still_serves(&mut client, &payload.to_string()).await;
    }
    // Headers may be missing.
    let mut client = Client::open(server.local_addr()).await;
    let payload = json!({"storeId": "todo", "live": false, "cursor": none()});
    client.send(&json!({"_tag": "Request", "id": "0", "tag": "SyncWsRpc.Pull", "payload": payload})).await;
    client.item("0").await;
}

/// A real client ends its requests when it is told of a defect; the server does not.
#[tokio::test]
async fn what_runs_is_left_alone_by_what_makes_no_sense() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut bystander = Client::open(server.local_addr()).await;
    let mut client = Client::open(server.local_addr()).await;
    for live in [&mut bystander, &mut client] {
        live.pull("0", true, none()).await;
        live.item("0").await;
    }
    let bad_push = json!({"storeId": "todo", "batch": [1], "backendId": none()});
    let nonsense = [
        "{".to_owned(),
        "42".to_owned(),
        json!({"_tag": "Nope"}).to_string(),
        request("1", "SyncWsRpc.Nope", &json!({})).to_string(),
        request("1", "SyncWsRpc.Push", &bad_push).to_string(),
    ];
    for (seq, text) in (1..).zip(nonsense) {
        client.send_text(&text).await;
        let answer = client.frame().await;
        assert!(["Defect", "Exit"].contains(&answer["_tag"].as_str().unwrap()), "{text}: {answer}");
        client.push("2", vec![event(seq)], none()).await;
        assert_eq!(numbers(&client.item("0").await), [seq], "after {text}");
        assert_eq!(client.frame().await, accepted("2"), "after {text}");
        assert_eq!(numbers(&bystander.item("0").await), [seq], "after {text}");
    }
    // Nor does the end of a connection end another one.
    client.send_text("null").await;
    assert_eq!(client.closed().await.0, 1002);
    bystander.push("1", vec![event(6)], none()).await;
    assert_eq!(numbers(&bystander.item("0").await), [6]);
    assert_eq!(bystander.frame().await, accepted("1"));
}

/// After each of these the reference server is silent for ever.
#[tokio::test]
async fn what_has_no_answer_closes_the_connection() {
    let server = serve(ServerLimits::DEFAULT).await;
    let payload = json!({"storeId": "todo", "live": true, "cursor": none()});
    let with_id = |id: Value| {
        json!({"_tag": "Request", "id": id, "tag": "SyncWsRpc.Pull", "payload": payload}).to_string()
    };
    for text in [
        "null".to_owned(),
        with_id(json!("abc")),
        with_id(json!("")),
        with_id(json!(1.5)),
        with_id(json!(-1)),
        with_id(json!(null)),
        json!({"_tag": "Request", "tag": "SyncWsRpc.Pull", "payload": payload}).to_string(),
        json!({"_tag": "Ack"}).to_string(),
        json!({"_tag": "Interrupt", "requestId": {}}).to_string(),
    ] {
        let mut client = Client::open(server.local_addr()).await;
        client.send_text(&text).await;
        let (code, before) = client.closed().await;
        assert_eq!((code, before.len()), (1002, 0), "{text}");
    }
    // An id that is still running.
    let mut client = Client::open(server.local_addr()).await;
    client.pull("0", true, none()).await;
    client.item("0").await;
    client.push("0", vec![event(1)], none()).await;
    assert_eq!(client.closed().await.0, 1002);
    // Another connection notices nothing of all that.
    let mut client = Client::open(server.local_addr()).await;
    client.hears_nothing().await;
    still_serves(&mut client, "all").await;
}

#[tokio::test]
async fn more_than_a_connection_may_have() {
    let mut limits = ServerLimits::DEFAULT;
    limits.max_frame_bytes = 4096;
    limits.max_pulls_per_connection = 2;
    let server = serve(limits).await;
    let mut client = Client::open(server.local_addr()).await;
    client.send_text(&format!("\"{}\"", "x".repeat(5000))).await;
    assert_eq!(client.closed().await.0, 1009);
    let mut client = Client::open(server.local_addr()).await;
    for id in ["0", "1", "2"] {
        client.pull(id, true, none()).await;
    }
    assert_eq!(client.closed().await.0, 1008);
}

/// Stores whose pulls fail after the first page.
#[derive(Debug)]
struct Failing(MemoryBackends);

#[derive(Debug)]
struct FailingBackend(Arc<dyn SyncBackend>);

#[async_trait]
impl BackendProvider for Failing {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        Ok(Arc::new(FailingBackend(self.0.open(store).await?)))
    }
}

#[async_trait]
impl SyncBackend for FailingBackend {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.0.push(push).await
    }
    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let failure = PullError::Backend { backend: "failing", source: "the disk is gone".into() };
        self.0.pull(pull).take(1).chain(stream::iter([Err(failure)])).boxed()
    }
    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.0.connection()
    }
}

/// A client that is told of it would never pull again.
#[tokio::test]
async fn trouble_in_a_pull_closes_the_connection() {
    let server = Server::builder(Failing(MemoryBackends::new())).bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::open(server.local_addr()).await;
    client.pull("0", true, none()).await;
    let (code, before) = client.closed().await;
    assert_eq!((code, before.len()), (1011, 1), "the first page, and no word of the failure");
}
