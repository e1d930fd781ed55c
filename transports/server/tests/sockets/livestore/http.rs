//! What the recording `http-20` shows.

use livestore_server::{Server, ServerLimits};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{accepted, cursor, ended, event, events, no_more, none, numbers, request as rpc};
use crate::support::{get, post, request, serve};

const PATH: &str = "/?storeId=todo&transport=http";

async fn answer(server: &Server, body: &Value) -> Value {
    let answer = post(server.local_addr(), PATH, &body.to_string()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    dechunked(&answer.head, &answer.body)
}

/// Pulls are streamed in chunks of HTTP.
pub(super) fn dechunked(head: &str, body: &str) -> Value {
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return serde_json::from_str(body).unwrap();
    }
    let (mut text, mut rest) = (String::new(), body);
    loop {
        let (len, following) = rest.split_once("\r\n").unwrap();
        let len = usize::from_str_radix(len, 16).unwrap();
        if len == 0 {
            return serde_json::from_str(&text).unwrap();
        }
        text.push_str(&following[..len]);
        rest = &following[len + 2..];
    }
}

fn pull(id: &str, cursor: &Value) -> Value {
    rpc(id, "SyncHttpRpc.Pull", &json!({"storeId": "todo", "cursor": cursor}))
}

fn push(id: &str, batch: &[Value], backend_id: &Value) -> Value {
    rpc(id, "SyncHttpRpc.Push", &json!({"storeId": "todo", "batch": batch, "backendId": backend_id}))
}

fn ping(id: &str) -> Value {
    rpc(id, "SyncHttpRpc.Ping", &json!({"storeId": "todo"}))
}

fn pong(id: &str) -> Value {
    json!([{"_tag": "Exit", "requestId": id, "exit": {"_tag": "Success", "value": {"_tag": "SyncMessage.Pong"}}}])
}

#[tokio::test]
async fn requests_and_their_answers() {
    let server = serve(ServerLimits::DEFAULT).await;
    assert_eq!(answer(&server, &ping("0")).await, pong("0"));
    assert_eq!(answer(&server, &json!({"_tag": "Ping"})).await, json!([{"_tag": "Pong"}]));
    assert_eq!(answer(&server, &json!({"_tag": "Eof"})).await, json!([]));
    let empty = answer(&server, &pull("1", &none())).await;
    let backend_id = empty[0]["values"][0]["backendId"].as_str().unwrap().to_owned();
    let nothing = json!({"batch": [], "pageInfo": no_more(), "backendId": backend_id});
    let chunk = |id: &str, item: &Value| json!({"_tag": "Chunk", "requestId": id, "values": [item]});
    assert_eq!(empty, json!([chunk("1", &nothing), ended("1")]));

    assert_eq!(answer(&server, &push("2", &[event(1)], &none())).await, json!([accepted("2")]));
    let known = json!({"_tag": "Some", "value": backend_id});
    assert_eq!(answer(&server, &push("3", &[event(2)], &known)).await, json!([accepted("3")]));
    assert_eq!(answer(&server, &push("8", &[], &none())).await, json!([accepted("8")]));
    let read = answer(&server, &pull("6", &cursor(&backend_id, 1))).await;
    assert_eq!(numbers(&read[0]["values"][0]), [2]);
    assert_eq!(read[1], ended("6"));
    let read = answer(&server, &pull("7", &cursor(&backend_id, 2))).await;
    assert_eq!(read, json!([chunk("7", &nothing), ended("7")]));
    let read = answer(&server, &pull("7", &cursor(&backend_id, 99))).await;
    assert_eq!(super::error(&read[0], "7")["_tag"], "BackendIdMismatchError");
    let refused = answer(&server, &push("4", &[event(9)], &none())).await;
    let ahead = json!({"_tag": "ServerAheadError", "minimumExpectedNum": 2, "providedNum": 8});
    assert_eq!(super::error(&refused[0], "4"), ahead);
    let refused = answer(&server, &pull("5", &cursor("wrong", 1))).await;
    let mismatch = json!({"_tag": "BackendIdMismatchError", "expected": backend_id, "received": "wrong"});
    assert_eq!((super::error(&refused[0], "5"), refused.as_array().unwrap().len()), (mismatch, 1));
}

#[tokio::test]
async fn a_long_log_comes_whole() {
    let server = serve(ServerLimits::DEFAULT).await;
    for batch in 0..3 {
        let batch = events(batch * 100 + 1..=(batch * 100 + 100).min(260));
        answer(&server, &push("0", &batch, &none())).await;
    }
    let frames = answer(&server, &pull("1", &none())).await;
    let (exit, chunks) = frames.as_array().unwrap().split_last().unwrap();
    assert_eq!(*exit, ended("1"));
    let items: Vec<_> = chunks.iter().map(|chunk| &chunk["values"][0]).collect();
    let read: Vec<u64> = items.iter().flat_map(|item| numbers(item)).collect();
    assert_eq!(read, (1..=260).collect::<Vec<_>>());
    let left: Vec<_> = items.iter().map(|item| item["pageInfo"]["remaining"].as_u64()).collect();
    assert_eq!(left, [Some(160), Some(60), None]);
}

#[tokio::test]
async fn bodies_that_are_no_request() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    for body in ["{nope", "", "[1"] {
        let answer = post(at, PATH, body).await;
        assert_eq!(
            (answer.status, &answer.json()[0]["defect"]["name"]),
            (200, &json!("SyntaxError")),
            "{body}"
        );
    }
    let unknown = |tag: &str| json!([{"_tag": "Defect", "defect": format!("Unknown request tag: {tag}")}]);
    let payload = json!({"storeId": "todo", "batch": [], "backendId": none()});
    for (body, expected) in [
        (json!([ping("9")]), unknown("undefined")),
        (json!(3), unknown("undefined")),
        (rpc("10", "SyncHttpRpc.Nope", &payload), unknown("SyncHttpRpc.Nope")),
        (rpc("11", "SyncWsRpc.Push", &payload), unknown("SyncWsRpc.Push")),
        (json!(null), json!([{"_tag": "Defect", "defect": "null is no message"}])),
    ] {
        assert_eq!(answer(&server, &body).await, expected, "{body}");
    }
    let died = answer(&server, &rpc("12", "SyncHttpRpc.Pull", &json!({"storeId": "todo"}))).await;
    assert_eq!((&died[0]["requestId"], &died[0]["exit"]["cause"]["_tag"]), (&json!("12"), &json!("Die")));
    // A batch of the other dialect.
    let two =
        json!([{"_tag": "Request", "id": 1, "tag": "SyncHttpRpc.Nope", "payload": {}}, {"_tag": "Ping"}]);
    let answers = answer(&server, &two).await;
    assert_eq!(
        (&answers[0]["exit"]["cause"][0]["_tag"], &answers[1]["_tag"]),
        (&json!("Die"), &json!("Pong"))
    );
    let large = post(at, PATH, &"x".repeat(2 * ServerLimits::DEFAULT.max_frame_bytes)).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn paths_and_headers_do_not_matter() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let body = ping("1").to_string();
    for path in [
        "/any/path?storeId=todo&transport=http",
        "/stores/x/push?transport=http&storeId=todo",
        "/?x=1&storeId=todo&payload=%257B%257D&transport=http",
    ] {
        // Headers as real clients send them; their traces are not well formed.
        let headers = [
            ("x-livestore-store-id", "other"),
            ("b3", "livestore-noop-trace"),
            ("traceparent", "00-livestore-noop-00"),
        ];
        let answer = request(at, "POST", path, &headers, &body).await;
        assert_eq!((answer.status, answer.json()), (200, pong("1")), "{path}");
    }
}

/// Section 1.1 of the protocol, row by row; what needs an authorizer is in `auth`.
#[tokio::test]
async fn statuses_before_any_request() {
    let server = serve(ServerLimits::DEFAULT).await;
    let at = server.local_addr();
    let (body, upgrade) = (ping("1").to_string(), "Expected Upgrade: websocket");
    let info = concat!("Info: Sync backend endpoint, livestore-server/", env!("CARGO_PKG_VERSION"));
    for (method, path, status, text) in [
        ("GET", "/", 200, info),
        ("POST", "/", 200, info),
        ("GET", "/?other=1", 200, info),
        ("GET", "/?storeId=todo&transport=ws", 426, upgrade),
        ("POST", "/?storeId=todo&transport=ws", 426, upgrade),
        ("GET", "/any/path?storeId=todo&transport=ws", 426, upgrade),
        ("POST", "/?transport=http", 400, "Invalid path"),
        ("POST", "/?storeId=todo", 400, "Invalid path"),
        ("GET", "/?storeId=todo", 400, "Invalid path"),
        ("POST", "/?storeId=todo&transport=carrier-pigeon", 400, "Invalid path"),
        ("POST", "/?storeId=todo&transport=http&payload=nope", 400, "Invalid path"),
        ("POST", "/?storeId=todo&transport=http&payload=%25ff", 400, "Invalid path"),
        ("POST", "/?storeId=..%2F&transport=http", 400, "Invalid path"),
        ("POST", "/?storeId=&transport=http", 400, "Invalid path"),
    ] {
        let answer = request(at, method, path, &[], &body).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.body.starts_with(text), "{method} {path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain"), "{method} {path}");
        assert_eq!(answer.header("upgrade").is_some(), status == 426, "{method} {path}");
    }
    // Whatever the method and the content type.
    for method in ["GET", "PUT", "POST"] {
        let headers = [("content-type", "text/html")];
        let answer = request(at, method, PATH, &headers, &body).await;
        assert_eq!((answer.status, answer.json()), (200, pong("1")), "{method}");
    }
    let defect = get(at, PATH).await;
    assert_eq!((defect.status, &defect.json()[0]["_tag"]), (200, &json!("Defect")));
    // Another upgrade is none, and one in other letters is one.
    let with = |upgrade| {
        [
            ("connection", "Upgrade"),
            ("upgrade", upgrade),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
    };
    let path = "/?storeId=todo&transport=ws";
    assert_eq!(request(at, "GET", path, &with("h2c"), "").await.status, 426);
    let mut socket = TcpStream::connect(at).await.unwrap();
    let headers: String =
        with("WebSocket").iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}
