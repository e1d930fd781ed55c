//! Whatever a real client sends is taken and delivered. It counts the JSON of what it pushes, up to 900,000 bytes; an event
//! that were refused for its size it would send again for ever.

use livestore_server::ServerLimits;
use serde_json::{Value, json};

use super::{Client, accepted, cursor, ended, event, none, numbers, request as rpc};
use crate::support::{post, serve};

/// What a client of 0.4.0 allows itself.
const CLIENT_BYTES: usize = 900_000;

/// What such a client measures.
fn measured(batch: &[Value], backend_id: &Value) -> usize {
    let push =
        json!({"storeId": "todo", "payload": {"authToken": "t"}, "batch": batch, "backendId": backend_id});
    push.to_string().len()
}

/// `count` events that together are as large as a client sends, all but the last with args of `len` bytes.
fn largest(first: u64, count: u64, len: usize, shape: impl Fn(&mut Value), backend_id: &Value) -> Vec<Value> {
    let mut batch: Vec<_> = (first..first + count).map(event).collect();
    for event in &mut batch {
        event["args"] = json!("x".repeat(len));
        shape(event);
    }
    let room = CLIENT_BYTES - measured(&batch, backend_id);
    batch.last_mut().unwrap()["args"] = json!("x".repeat(len + room));
    assert_eq!(measured(&batch, backend_id), CLIENT_BYTES);
    batch
}

#[tokio::test]
async fn the_largest_pushes_of_a_client_are_taken_and_delivered() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut client = Client::open(server.local_addr()).await;
    let mut reader = Client::open(server.local_addr()).await;
    client.pull("0", false, none()).await;
    let id = client.item("0").await["backendId"].clone();
    client.ack("0").await;
    assert_eq!(client.frame().await, ended("0"));
    reader.pull("0", true, none()).await;
    reader.item("0").await;

    let known = json!({"_tag": "Some", "value": id});
    let plain = |_: &mut Value| {};
    let short = |event: &mut Value| {
        event["name"] = json!("a");
        event["clientId"] = json!("c");
        event["sessionId"] = json!("s");
    };
    // As long as names and ids may be, and such as JSON does not escape: counted twice, they take the most.
    let long = |event: &mut Value| {
        event["name"] = json!("n".repeat(256));
        event["clientId"] = json!("c".repeat(128));
        event["sessionId"] = json!("s".repeat(128));
    };
    let escaped = |event: &mut Value| event["name"] = json!("\"".repeat(256));
    let mut sent = 0;
    for (count, len, shape) in [
        (1, 0, &plain as &dyn Fn(&mut Value)),
        (1, 0, &short),
        (1, 0, &long),
        (2, 448_000, &plain),
        (100, 8_000, &plain),
        (100, 8_000, &short),
        (100, 8_000, &long),
        (100, 8_000, &escaped),
    ] {
        let batch = largest(sent + 1, count, len, shape, &known);
        client.push("1", batch.clone(), known.clone()).await;
        assert_eq!(client.frame().await, accepted("1"), "{count} events after {sent}");
        let mut delivered = Vec::new();
        while delivered.len() < batch.len() {
            let item = reader.item("0").await;
            // What is cut stays within what the reference server sends, and one event alone just beyond.
            let len = item.to_string().len();
            assert!(len <= CLIENT_BYTES || (numbers(&item).len() == 1 && len < CLIENT_BYTES + 200), "{len}");
            delivered
                .extend(item["batch"].as_array().unwrap().iter().map(|entry| entry["eventEncoded"].clone()));
        }
        assert_eq!(delivered, batch, "{count} events after {sent}");
        sent += count;
    }
    // All of it is there for who comes later, over both transports.
    let mut late = Client::open(server.local_addr()).await;
    late.pull("0", false, none()).await;
    let mut read = Vec::new();
    while read.len() < usize::try_from(sent).unwrap() {
        read.extend(numbers(&late.item("0").await));
        late.ack("0").await;
    }
    assert_eq!(read, (1..=sent).collect::<Vec<_>>());
    let pull = json!({"storeId": "todo", "cursor": cursor(id.as_str().unwrap(), 2)});
    let body = rpc("0", "SyncHttpRpc.Pull", &pull).to_string();
    let answer = post(server.local_addr(), "/?storeId=todo&transport=http", &body).await;
    let first = super::http::dechunked(&answer.head, &answer.body);
    assert_eq!(numbers(&first[0]["values"][0]), [3]);
}

#[tokio::test]
async fn they_are_taken_over_http_too() {
    let server = serve(ServerLimits::DEFAULT).await;
    let batch = largest(1, 1, 0, |_| {}, &none());
    let push = json!({"storeId": "todo", "payload": {"authToken": "t"}, "batch": batch, "backendId": none()});
    let body = rpc("0", "SyncHttpRpc.Push", &push).to_string();
    let answer = post(server.local_addr(), "/?storeId=todo&transport=http", &body).await;
    assert_eq!(answer.json(), json!([accepted("0")]));
}
