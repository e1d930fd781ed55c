//! What the recordings `ws-20` and `ws-21` show, with what is right where the reference server is wrong.

use std::time::Duration;

use livestore_server::ServerLimits;
use serde_json::{Value, json};

use super::{Client, accepted, cursor, ended, error, event, events, no_more, none, numbers, request};
use crate::support::serve;

#[tokio::test]
async fn a_session_of_pulls_and_pushes() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut client = Client::open(server.local_addr()).await;
    client.hears_nothing().await;
    client.send_text(r#"{"x":1,"_tag":"Ping"}"#).await;
    assert_eq!(client.frame().await, json!({"_tag": "Pong"}));

    client.pull("1", false, none()).await;
    let item = client.item("1").await;
    let backend_id = item["backendId"].as_str().unwrap().to_owned();
    assert_eq!(item, json!({"batch": [], "pageInfo": no_more(), "backendId": backend_id}));
    client.hears_nothing().await;
    client.ack("1").await;
    assert_eq!(client.frame().await, ended("1"));

    client.pull("2", true, none()).await;
    assert_eq!(client.item("2").await["batch"], json!([]));
    // Nothing is acknowledged from here on: broadcasts don't wait for it.
    client.push("3", vec![event(1)], none()).await;
    let echo = client.item("2").await;
    assert_eq!((&echo["batch"][0]["eventEncoded"], &echo["pageInfo"]), (&event(1), &no_more()));
    assert_eq!(client.frame().await, accepted("3"), "the echo comes first");
    client.push("4", events(2..=3), json!({"_tag": "Some", "value": backend_id})).await;
    let echo = client.item("2").await;
    assert_eq!(numbers(&echo), [2, 3]);
    let metadata = &echo["batch"][0]["metadata"];
    assert_eq!(metadata["value"]["_tag"], "SyncMessage.SyncMetadata");
    assert_eq!(*metadata, echo["batch"][1]["metadata"], "one time for the whole batch");
    assert_eq!(client.frame().await, accepted("4"));
    client.push("5", vec![], none()).await;
    assert_eq!(client.frame().await, accepted("5"));

    client.pull("10", false, cursor(&backend_id, 1)).await;
    let read = client.item("10").await;
    assert_eq!(read["batch"], echo["batch"], "a catch-up says the same as the broadcast did, times included");
    client.ack("10").await;
    assert_eq!(client.frame().await, ended("10"));

    client.send(&json!({"_tag": "Interrupt", "requestId": "2"})).await;
    let interrupted = client.frame().await;
    assert_eq!(interrupted["exit"]["cause"]["_tag"], "Interrupt", "{interrupted}");
    // Neither the interrupted pull nor one that ended hears of what comes now.
    client.pushes("21", vec![event(4)]).await;
    for ignored in ["Interrupt", "Ack"] {
        client.send(&json!({"_tag": ignored, "requestId": "77"})).await;
    }
    client.send(&json!({"_tag": "Eof"})).await;
    client.hears_nothing().await;
}

#[tokio::test]
async fn batches_that_are_refused() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut client = Client::open(server.local_addr()).await;
    client.pull("1", true, none()).await;
    let backend_id = client.item("1").await["backendId"].clone();
    client.pushes("2", events(1..=3)).await;

    let mut other = event(3);
    other["args"]["text"] = json!("of another client");
    for (batch, expected, provided) in [(other, 3, 2), (event(9), 3, 8)] {
        client.push("3", vec![batch], none()).await;
        assert_eq!(
            error(&client.frame().await, "3"),
            json!({"_tag": "ServerAheadError", "minimumExpectedNum": expected, "providedNum": provided})
        );
    }
    client.push("4", vec![event(4)], json!({"_tag": "Some", "value": "wrong"})).await;
    let mismatch = json!({"_tag": "BackendIdMismatchError", "expected": backend_id, "received": "wrong"});
    assert_eq!(error(&client.frame().await, "4"), mismatch);
    client.pull("5", false, cursor("wrong", 1)).await;
    assert_eq!(error(&client.frame().await, "5"), mismatch);

    let mut jump = event(20);
    jump["parentSeqNum"] = json!(3);
    let mut large = event(4);
    large["args"] = json!("x".repeat(970_000));
    for batch in
        [vec![event(4), event(6)], vec![jump], vec![event(4), event(4)], vec![large], events(4..=104)]
    {
        client.push("6", batch, none()).await;
        let error = error(&client.frame().await, "6");
        assert_eq!(error["_tag"], "UnknownError");
        assert!(error["cause"]["message"].is_string(), "{error}");
    }
    // Nothing of all that was stored, and what was accepted is acknowledged again.
    client.pushes("7", events(2..=3)).await;
    client.push("8", vec![event(4)], none()).await;
    assert_eq!(numbers(&client.item("1").await), [4]);
    assert_eq!(client.frame().await, accepted("8"));
}

#[tokio::test]
async fn args_are_any_json_and_extra_fields_are_dropped() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut client = Client::open(server.local_addr()).await;
    client.pull("1", true, none()).await;
    client.item("1").await;
    // The last is how JavaScript writes 2^65 + 2^13, which no double is.
    let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let args = [
        r#"{"b":[1.50,"\u00fc🎈"],"a":null}"#,
        "null",
        "[]",
        "36893488147419110000",
        "12345678901234567000",
        &nested,
    ];
    for (seq, args) in (1..).zip(args) {
        client.push_args(seq, args).await;
        let echo = client.item("1").await;
        let recorded: Value = serde_json::from_str(args).unwrap();
        assert_eq!(
            echo["batch"][0]["eventEncoded"],
            json!({"name": "ünïcode 🎈", "args": recorded, "seqNum": seq, "parentSeqNum": seq - 1, "clientId": "c", "sessionId": "s"})
        );
        assert_eq!(client.frame().await, accepted("2"));
    }
    // Not written by JSON.stringify, and read differently by others than by JSON.parse.
    for args in ["9007199254740993", r#"{"a":1,"a":2}"#] {
        client.push_args(7, args).await;
        let refused = error(&client.frame().await, "2");
        assert_eq!(refused["cause"]["name"], "InvalidBatchError", "{refused}");
    }
    let mut absent = event(7);
    absent.as_object_mut().unwrap().remove("args");
    client.push("3", vec![absent], none()).await;
    assert_eq!(client.item("1").await["batch"][0]["eventEncoded"]["args"], Value::Null);
}

#[tokio::test]
async fn what_other_readers_refuse_is_passed_on_as_it_is() {
    use futures::StreamExt;

    let server = serve(ServerLimits::DEFAULT).await;
    let mut client = Client::open(server.local_addr()).await;
    client.pull("1", true, none()).await;
    client.item("1").await;
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    for (seq, args) in (1..).zip([r#"{"half":"\ud83d"}"#, &deep]) {
        client.push_args(seq, args).await;
        let echo = client.0.next().await.unwrap().unwrap();
        assert!(echo.as_text().unwrap().contains(&format!(r#""args":{args},"#)), "{echo:?}");
        assert_eq!(client.frame().await, accepted("2"));
    }
}

/// Its store has lost events. The reference server has nothing to say to such a client, until others have written past
/// its cursor: from then on it reads events that don't follow its own.
#[tokio::test]
async fn a_client_that_has_more_than_the_store_begins_anew() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut client = Client::open(server.local_addr()).await;
    client.pushes("0", events(1..=2)).await;
    client.pull("1", false, none()).await;
    let backend_id = client.item("1").await["backendId"].as_str().unwrap().to_owned();
    client.ack("1").await;
    assert_eq!(client.frame().await, ended("1"));
    for live in [false, true] {
        client.pull("2", live, cursor(&backend_id, 3)).await;
        let mismatch =
            json!({"_tag": "BackendIdMismatchError", "expected": backend_id, "received": backend_id});
        assert_eq!(error(&client.frame().await, "2"), mismatch);
        // Having all of it is no error.
        client.pull("3", live, cursor(&backend_id, 2)).await;
        assert_eq!(client.item("3").await["batch"], json!([]));
        client.ack("3").await;
        if !live {
            assert_eq!(client.frame().await, ended("3"));
        }
    }
}

#[tokio::test]
async fn a_catch_up_waits_for_acks_and_nothing_overtakes_it() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut writer = Client::open(server.local_addr()).await;
    for batch in 0..12 {
        let last = (batch * 100 + 100).min(1120);
        writer.pushes("0", events(batch * 100 + 1..=last)).await;
    }
    let mut client = Client::open(server.local_addr()).await;
    client.pull("1", true, none()).await;
    let mut items = Vec::new();
    for _ in 0..8 {
        items.push(client.item("1").await);
    }
    // Accepted while the catch-up stands still: a client that acknowledges nothing gets no further.
    writer.pushes("1", vec![event(1121)]).await;
    client.hears_nothing().await;
    while items.last().unwrap()["pageInfo"] != no_more() {
        client.ack("1").await;
        items.push(client.item("1").await);
        client.send(&json!({"_tag": "Ping"})).await;
        let pong = client.frame().await;
        assert_eq!(pong, json!({"_tag": "Pong"}), "one chunk for each acknowledgement");
    }
    let read: Vec<u64> = items.iter().flat_map(numbers).collect();
    assert_eq!(read, (1..=1121).collect::<Vec<_>>());
    assert_eq!(items[0]["pageInfo"], json!({"_tag": "MoreKnown", "remaining": 1020}));
    // From here on it is a broadcast, though the last chunk is not acknowledged.
    for seq in 1122..=1124 {
        writer.pushes("2", vec![event(seq)]).await;
        let item = client.item("1").await;
        assert_eq!((numbers(&item), &item["pageInfo"]), (vec![seq], &no_more()));
    }
}

#[tokio::test]
async fn the_other_dialect_is_answered_in_its_own_way() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut client = Client::open(server.local_addr()).await;
    let pull = |id: Value, cursor: Value| {
        let payload = json!({"storeId": "todo", "live": false, "cursor": cursor});
        json!({"_tag": "Request", "id": id, "tag": "SyncWsRpc.Pull", "payload": payload})
    };
    // Both on one connection; an id of one type is not one of the other.
    client.send(&json!([pull(json!(1), none()), {"_tag": "Ping"}])).await;
    assert_eq!(client.frame().await, json!({"_tag": "Pong"}));
    assert_eq!(client.frame().await["requestId"], 1);
    client.send(&pull(json!("1"), none())).await;
    client.item("1").await;
    client.ack("1").await;
    assert_eq!(client.frame().await, ended("1"));
    client.send(&json!({"_tag": "Ack", "requestId": 1})).await;
    assert_eq!(
        client.frame().await,
        json!({"_tag": "Exit", "requestId": 1, "exit": {"_tag": "Success", "value": null}})
    );
    client.send(&pull(json!(2), cursor("wrong", 1))).await;
    let frame = client.frame().await;
    assert_eq!(frame["exit"]["cause"][0]["error"]["_tag"], "BackendIdMismatchError", "{frame}");
}

#[tokio::test]
async fn binary_frames_and_other_paths_are_fine() {
    use futures::SinkExt;
    use tokio_websockets::Message;

    let server = serve(ServerLimits::DEFAULT).await;
    let path = "/any/path?storeId=todo&payload=%257B%2522a%2522%253A1%257D&transport=ws";
    let mut client = Client::open_at(server.local_addr(), path).await.unwrap();
    let payload = json!({"storeId": "todo", "live": false, "cursor": none()});
    let frame = request("0", "SyncWsRpc.Pull", &payload).to_string();
    client.0.send(Message::binary(frame.into_bytes())).await.unwrap();
    assert_eq!(client.item("0").await["batch"], json!([]));
}

#[tokio::test]
async fn a_client_that_forgot_to_pull_loses_its_connection() {
    let mut limits = ServerLimits::DEFAULT;
    limits.first_pull_timeout = Duration::from_millis(100);
    let server = serve(limits).await;
    let mut pulling = Client::open(server.local_addr()).await;
    pulling.pull("0", true, none()).await;
    pulling.item("0").await;
    pulling.hears_nothing().await;
    let mut silent = Client::open(server.local_addr()).await;
    let mut stuck = Client::open(server.local_addr()).await;
    stuck.send(&json!({"_tag": "Ping"})).await;
    let (code, before) = stuck.closed().await;
    assert_eq!((code, before.len()), (1008, 1));
    // By now the others are as old.
    pulling.hears_nothing().await;
    silent.pull("0", true, none()).await;
    silent.item("0").await;
}

#[tokio::test]
async fn a_server_that_goes_away_says_so() {
    let server = serve(ServerLimits::DEFAULT).await;
    let mut client = Client::open(server.local_addr()).await;
    client.pull("0", true, none()).await;
    client.item("0").await;
    let (closed, in_time) = tokio::join!(client.closed(), server.shutdown());
    assert_eq!((closed.0, closed.1.len(), in_time), (1001, 0, true));
}
