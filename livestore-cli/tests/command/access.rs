//! Access as a config file gives it, over every transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::StreamExt as _;
use jsonwebtoken::{EncodingKey, Header, encode};
use livestore_traits::{
    Args, ClientId, Cursor, EventName, GlobalSeq, Pull, PullError, PullMode, Push, PushError, SessionId,
    StoreId, SyncBackend, SyncedEvent,
};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_ws::{WsBackend, WsConfig};
use livestore_wire::SyncPayload;
use serde_json::{Value, json};

use crate::support::{Server, exchange};

/// What somebody was found to be able to do with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Refused,
    Read,
    ReadWrite,
}

/// A rule that opens everything else to everybody: a wrong token must not fall through to it.
const RULES: &str = r#"
default-access = "read-write"

[[access]]
stores = "auth-*"
payload.authToken = "writer"
allow = "read-write"

[[access]]
stores = "auth-*"
payload = { authToken = "reader", app.version = 2 }
allow = "read"

[[access]]
stores = "news-*"
allow = "read"

[[access]]
stores = "closed-*"
allow = "none"
"#;

fn payload(token: Option<&str>) -> Option<SyncPayload> {
    token.map(|token| SyncPayload::new(&json!({"authToken": token, "app": {"version": 2}})).unwrap())
}

fn event() -> SyncedEvent {
    SyncedEvent {
        seq: GlobalSeq(1),
        parent: GlobalSeq::ROOT,
        name: EventName::new("v1.Noted").unwrap(),
        args: Args::null(),
        client_id: ClientId::new("native").unwrap(),
        session_id: SessionId::new("main").unwrap(),
        commit: None,
        unit_end: true,
        created_at: None,
    }
}

/// What the native transports let do.
async fn by_backend(backend: impl SyncBackend) -> Found {
    let pulled = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once)).next().await.unwrap();
    let pushed = backend.push(Push::new(None, GlobalSeq::ROOT, None, vec![event()])).await;
    match (pulled, pushed) {
        (Ok(_), Ok(_) | Err(PushError::UpstreamAhead { .. })) => Found::ReadWrite,
        (Ok(_), Err(PushError::Unauthorized(_))) => Found::Read,
        (Err(PullError::Unauthorized(_)), Err(PushError::Unauthorized(_))) => Found::Refused,
        other => panic!("{other:?}"),
    }
}

async fn by_ws(server: SocketAddr, store: &str, token: Option<&str>) -> Found {
    let mut config = WsConfig::new(&format!("ws://{server}"), StoreId::new(store).unwrap()).unwrap();
    config.payload = payload(token).map(|payload| Arc::new(payload) as _);
    by_backend(WsBackend::new(config)).await
}

async fn by_http(server: SocketAddr, store: &str, token: Option<&str>) -> Found {
    let mut config = HttpConfig::new(&format!("http://{server}"), StoreId::new(store).unwrap()).unwrap();
    config.payload = payload(token).map(|payload| Arc::new(payload) as _);
    by_backend(HttpBackend::new(config)).await
}

/// The path of a LiveStore client: its payload is encoded twice.
fn livestore_path(store: &str, transport: &str, token: Option<&str>) -> String {
    let encode = |text: &str| {
        let escaped = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        text.bytes().map(escaped).collect::<String>()
    };
    let payload = payload(token).map(|payload| encode(&encode(payload.as_json())));
    let payload = payload.map_or_else(String::new, |payload| format!("&payload={payload}"));
    format!("/?storeId={store}{payload}&transport={transport}")
}

/// What LiveStore's HTTP transport lets do.
fn by_livestore_http(server: SocketAddr, store: &str, token: Option<&str>) -> Found {
    let line = format!("POST {}", livestore_path(store, "http", token));
    let ask = |tag: &str, payload: Value| {
        let request = json!({"_tag": "Request", "id": "1", "tag": tag, "payload": payload, "headers": []});
        exchange(server, &line, "", &request.to_string())
    };
    let none = json!({"_tag": "None"});
    let (status, pulled) = ask("SyncHttpRpc.Pull", json!({"storeId": store, "cursor": none}));
    let event = json!({
        "name": "v1.Noted", "args": {}, "seqNum": 1, "parentSeqNum": 0, "clientId": "web", "sessionId": "static",
    });
    let push = json!({"storeId": store, "batch": [event], "backendId": none});
    let (push_status, pushed) = ask("SyncHttpRpc.Push", push);
    assert_eq!(status, push_status);
    let is_written = pushed.contains(r#""_tag":"Success""#) || pushed.contains("ServerAheadError");
    match status {
        400 => {
            for refusal in [pulled, pushed] {
                assert!(refusal.starts_with(r#"UnknownError: { "cause": Error: "#), "{refusal}");
            }
            Found::Refused
        }
        200 if is_written => Found::ReadWrite,
        200 => {
            assert!(pulled.contains("Success") && pushed.contains("UnauthorizedError"), "{pulled} {pushed}");
            Found::Read
        }
        other => panic!("{other}: {pulled}"),
    }
}

/// Whether LiveStore's WebSocket lets in. What is pushed over it is decided as over HTTP.
fn opens_livestore_ws(server: SocketAddr, store: &str, token: Option<&str>) -> bool {
    let line = format!("GET {}", livestore_path(store, "ws", token));
    let headers =
        "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    match exchange(server, &line, headers, "") {
        (101, _) => true,
        (400, refusal) => {
            assert!(refusal.starts_with(r#"UnknownError: { "cause": Error: "#), "{refusal}");
            false
        }
        other => panic!("{other:?}"),
    }
}

/// Checks what all transports give, to a store of its own each.
async fn assert_found(server: SocketAddr, store: &str, token: Option<&str>, expected: Found) {
    let what = format!("{store} with {token:?}");
    assert_eq!(by_ws(server, store, token).await, expected, "native WebSocket: {what}");
    assert_eq!(by_http(server, store, token).await, expected, "native HTTP: {what}");
    assert_eq!(by_livestore_http(server, store, token), expected, "LiveStore's HTTP: {what}");
    let opens = opens_livestore_ws(server, store, token);
    assert_eq!(opens, expected != Found::Refused, "LiveStore's WebSocket: {what}");
}

#[tokio::test]
async fn rules_hold_over_every_transport() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with_config(dir.path(), RULES);
    let line = "access: by 4 rules; anyone may read and write every other store";
    assert!(server.introduction.contains(line), "{}", server.introduction);
    for (store, token, expected) in [
        ("auth-1", Some("writer"), Found::ReadWrite),
        ("auth-2", Some("reader"), Found::Read),
        ("auth-3", Some("wrong"), Found::Refused),
        ("auth-4", None, Found::Refused),
        ("news-1", None, Found::Read),
        ("news-2", Some("writer"), Found::Read),
        ("closed-1", Some("writer"), Found::Refused),
        ("open-1", None, Found::ReadWrite),
        ("open-2", Some("wrong"), Found::ReadWrite),
    ] {
        assert_found(server.addr, store, token, expected).await;
    }
    let ended = server.stop();
    for secret in ["writer", "reader", "wrong"] {
        assert!(!ended.stderr.contains(secret), "{secret} is in the log: {}", ended.stderr);
    }
}

#[tokio::test]
async fn tokens_hold_over_every_transport() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "a secret of at least 32 bytes, really";
    std::fs::write(dir.path().join("secret"), secret).unwrap();
    let config = "[jwt]\nalgorithm = \"HS256\"\nkey-file = \"secret\"\n[[access]]\nstores = \"news-*\"\nallow = \"read\"";
    let server = Server::with_config(dir.path(), config);
    let line = "access: by 1 rule; every other store by token (HS256 with ";
    assert!(server.introduction.contains(line), "{}", server.introduction);
    let sign = |secret: &str, exp: u64, stores: Value| {
        let claims = json!({"sub": "alice", "exp": exp, "stores": stores});
        encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let good = sign(secret, now + 600, json!({"mine-*": "read-write", "hers-*": "read"}));
    let late = sign(secret, now - 600, json!({"*": "read-write"}));
    let forged = sign("another secret of more than 32 bytes", now + 600, json!({"*": "read-write"}));
    for (store, token, expected) in [
        ("mine-1", Some(good.as_str()), Found::ReadWrite),
        ("hers-1", Some(&good), Found::Read),
        ("his-1", Some(&good), Found::Refused),
        ("mine-2", Some(&late), Found::Refused),
        ("mine-3", Some(&forged), Found::Refused),
        ("mine-4", Some("no token"), Found::Refused),
        ("mine-5", None, Found::Refused),
        ("news-1", None, Found::Read),
    ] {
        assert_found(server.addr, store, token, expected).await;
    }
    let ended = server.stop();
    assert!(!ended.stderr.contains(&good), "a token is in the log: {}", ended.stderr);
}
