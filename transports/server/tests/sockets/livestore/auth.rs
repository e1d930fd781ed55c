//! Who is let in of LiveStore's clients, in the order and with the answers of the recording `http-20`.

use serde_json::json;

use super::{Client, accepted, error, event, none, numbers, request as rpc};
use crate::guarded;
use crate::support::{Answer, post, request};

fn path(transport: &str, token: &str) -> String {
    format!("/?storeId=todo&payload=%2522{token}%2522&transport={transport}")
}

fn refusal(why: &str) -> String {
    format!(r#"UnknownError: {{ "cause": Error: {why}, "note": undefined, "payload": undefined }}"#)
}

async fn upgrade(at: std::net::SocketAddr, path: &str) -> Answer {
    let headers = [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    request(at, "GET", path, &headers, "").await
}

#[tokio::test]
async fn refusals_come_before_the_upgrade() {
    let (server, seen) = guarded::serve().await;
    let at = server.local_addr();
    for (token, status, why) in [
        ("mallory", 400, "this token is not known"),
        ("over", 400, "the access has expired"),
        ("fails", 503, "access cannot be checked at the moment"),
        ("hangs", 503, "access cannot be checked at the moment"),
        ("panics", 503, "access cannot be checked at the moment"),
    ] {
        for answer in [
            upgrade(at, &path("ws", token)).await,
            // Without an upgrade, too: a wrong token is no 426.
            post(at, &path("ws", token), "").await,
            post(at, &path("http", token), r#"{"_tag":"Ping"}"#).await,
        ] {
            assert_eq!((answer.status, answer.body.as_str()), (status, refusal(why).as_str()), "{token}");
            assert_eq!(answer.header("content-type"), Some("text/plain"));
        }
    }
    let answer = post(at, "/?storeId=todo&transport=http", r#"{"_tag":"Ping"}"#).await;
    assert_eq!((answer.status, answer.body), (400, refusal("a token is needed")));
    let answer = upgrade(at, &path("ws", &"x".repeat(8_200))).await;
    assert_eq!(answer.body, refusal("the sync payload has more than 8192 bytes"));
    let private = "/?storeId=private&payload=%2522writer%2522&transport=ws";
    assert_eq!(upgrade(at, private).await.body, refusal("this store is private"));
    assert!(seen.opened.lock().unwrap().is_empty(), "a store was opened");
    Client::open_at(at, &path("ws", "reader")).await.unwrap();
    assert_eq!(post(at, &path("ws", "reader"), "").await.status, 426);
}

#[tokio::test]
async fn what_is_refused_of_a_batch_is_an_unknown_error() {
    let (server, _) = guarded::serve().await;
    let at = server.local_addr();
    let mut reader = Client::open_at(at, &path("ws", "reader")).await.unwrap();
    let mut writer = Client::open_at(at, &path("ws", "writer")).await.unwrap();
    reader.pull("1", true, none()).await;
    reader.item("1").await;
    let named = |name: &str| {
        let mut event = event(1);
        event["name"] = json!(name);
        event
    };
    for (name, kind, message) in [
        ("v1.Rejected", "RejectedError", "event 0 of the batch was rejected (no-such-events): not here"),
        ("v1.Revoked", "UnauthorizedError", "not authorized: the token was revoked"),
        ("v1.Panics", "UnavailableError", "the backend is busy: access cannot be checked at the moment"),
    ] {
        let expected = json!({"_tag": "UnknownError", "cause": {"name": kind, "message": message}});
        writer.push("0", vec![named(name)], none()).await;
        assert_eq!(error(&writer.frame().await, "0"), expected);
        let payload = json!({"storeId": "todo", "batch": [named(name)], "backendId": none()});
        let body = rpc("0", "SyncHttpRpc.Push", &payload).to_string();
        let answer = post(at, &path("http", "writer"), &body).await.json();
        assert_eq!(error(&answer[0], "0"), expected);
    }
    reader.push("2", vec![event(1)], none()).await;
    let refused = error(&reader.frame().await, "2");
    assert_eq!(refused["cause"]["name"], "UnauthorizedError", "{refused}");
    writer.push("3", vec![event(1)], none()).await;
    assert_eq!(writer.frame().await, accepted("3"));
    assert_eq!(numbers(&reader.item("1").await), [1]);
}

#[tokio::test]
async fn an_expired_client_loses_its_connection() {
    let (server, _) = guarded::serve().await;
    let mut client = Client::open_at(server.local_addr(), &path("ws", "soon")).await.unwrap();
    client.pull("0", true, none()).await;
    assert_eq!(client.closed().await.0, 4401);
}
