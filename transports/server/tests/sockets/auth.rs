//! Who is let in by the native transports, and what their clients make of being refused.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use livestore_server::{PeerAddr, Server};
use livestore_traits::{
    Cursor, EventName, GlobalSeq, Pull, PullError, PullMode, Push, PushError, RejectCode, SyncBackend,
    SyncedEvent,
};
use livestore_transport_http::{HttpBackend, HttpConfig};
use livestore_transport_ws::{PayloadSource, WsBackend, WsConfig};
use livestore_wire::{Encoding, PushForm};

use crate::guarded::{self, header, payload};
use crate::support::{Answer, event, get, push, request, store};

const ENDPOINTS: [(&str, &str); 5] = [
    ("GET", "/stores/todo"),
    ("GET", "/stores/todo/sync"),
    ("POST", "/stores/todo/push"),
    ("GET", "/stores/todo/pull"),
    ("GET", "/stores/todo/history/b/0"),
];

async fn ask(server: &Server, method: &str, path: &str, shown: &str, body: &str) -> Answer {
    let headers = [("livestore-payload", shown)];
    let headers = if shown.is_empty() { &[][..] } else { &headers[..] };
    request(server.local_addr(), method, path, headers, body).await
}

fn named(name: &str) -> Push {
    let named = SyncedEvent { name: EventName::new(name).unwrap(), ..event(2, "1") };
    Push::new(None, GlobalSeq(0), None, vec![event(1, "1"), named])
}

fn json(push: Push) -> String {
    String::from_utf8(Encoding::Json.encode(&PushForm::from(push)).to_vec()).unwrap()
}

/// Both clients, showing what `source` gives.
fn clients(server: &Server, source: impl PayloadSource) -> [Arc<dyn SyncBackend>; 2] {
    let source: Arc<dyn PayloadSource> = Arc::new(source);
    let at = server.local_addr();
    let mut ws = WsConfig::new(&format!("ws://{at}"), store()).unwrap();
    ws.min_backoff = Duration::from_millis(5);
    ws.max_backoff = Duration::from_millis(20);
    ws.payload = Some(source.clone());
    let mut http = HttpConfig::new(&format!("http://{at}"), store()).unwrap();
    http.payload = Some(source);
    [Arc::new(WsBackend::new(ws)), Arc::new(HttpBackend::new(http))]
}

fn live() -> Pull {
    Pull::new(None, Cursor::start(), PullMode::Live)
}

#[tokio::test]
async fn nobody_touches_a_store_without_access() {
    let (server, seen) = guarded::serve().await;
    let unknown = header("secret-of-mallory");
    let long = "A".repeat(12_000);
    for (shown, status, error, message) in [
        ("", 401, "unauthenticated", "a token is needed"),
        (unknown.as_str(), 401, "unauthenticated", "this token is not known"),
        (r#""secret-of-mallory""#, 401, "unauthenticated", "this token is not known"),
        ("c2VjcmV0LW9mLW1hbGxvcnk", 401, "unauthenticated", "the sync payload is not JSON"),
        ("%%%", 401, "unauthenticated", "the sync payload in a header is JSON, or base64url of it"),
        (&long, 401, "unauthenticated", "the sync payload has more than 8192 bytes"),
        (&header("over"), 401, "unauthenticated", "the access has expired"),
        (&header("fails"), 503, "busy", "access cannot be checked at the moment"),
        (&header("hangs"), 503, "busy", "access cannot be checked at the moment"),
        (&header("panics"), 503, "busy", "access cannot be checked at the moment"),
    ] {
        for (method, path) in ENDPOINTS {
            let answer = ask(&server, method, path, shown, "{}").await;
            assert_eq!(answer.status, status, "{method} {path} with {shown:.40}: {answer:?}");
            let expected = serde_json::json!({"error": error, "message": message});
            assert_eq!(answer.json(), expected, "{method} {path} with {shown:.40}");
            assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
            assert_eq!(answer.header("retry-after").is_some(), status == 503);
        }
    }
    let answer = ask(&server, "GET", "/stores/private/pull", &header("writer"), "").await;
    assert_eq!((answer.status, &answer.json()["error"]), (403, &"forbidden".into()));
    assert!(seen.opened.lock().unwrap().is_empty(), "a store was opened");
    assert!(!seen.peers.lock().unwrap().is_empty());
    assert!(seen.peers.lock().unwrap().iter().all(|peer| peer.ip().is_loopback()));
    // What concerns no store needs no access.
    assert_eq!(get(server.local_addr(), "/health").await.status, 200);
    assert_eq!(get(server.local_addr(), "/").await.status, 200);
    assert_eq!(ask(&server, "GET", "/stores/todo", &header("reader"), "").await.status, 200);
    assert_eq!(*seen.opened.lock().unwrap(), [store()]);
}

/// A client that is still writing when it is refused hears why.
#[tokio::test]
async fn a_large_body_is_read_before_it_is_refused() {
    let (server, _) = guarded::serve().await;
    let answer = ask(&server, "POST", "/stores/todo/push", "", &"x".repeat(2_000_000)).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test]
async fn a_reader_may_pull_and_not_push() {
    let (server, _) = guarded::serve().await;
    let answer = ask(&server, "POST", "/stores/todo/push", &header("reader"), &json(push(0, 1))).await;
    assert_eq!((answer.status, &answer.json()["error"]), (403, &"forbidden".into()));
    for reader in clients(&server, payload("reader")) {
        let pushed = reader.push(push(0, 1)).await;
        assert!(
            matches!(&pushed, Err(PushError::Unauthorized(why)) if why.contains("reading only")),
            "{pushed:?}"
        );
        let page = reader.pull(live()).next().await.unwrap().unwrap();
        assert_eq!(page.through, GlobalSeq(0), "something was stored");
    }
}

#[tokio::test]
async fn batches_are_refused_for_what_is_in_them() {
    let (server, _) = guarded::serve().await;
    let path = "/stores/todo/push";
    for (name, status, error) in [
        (
            "v1.Rejected",
            422,
            serde_json::json!({"rejected": {"index": 1, "code": {"policy": "no-such-events"}, "message": "not here"}}),
        ),
        ("v1.Revoked", 401, "unauthenticated".into()),
        ("v1.Absurd", 503, "busy".into()),
        ("v1.Panics", 503, "busy".into()),
    ] {
        let answer = ask(&server, "POST", path, &header("writer"), &json(named(name))).await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &error), "{name}");
    }
    for writer in clients(&server, payload("writer")) {
        match writer.push(named("v1.Rejected")).await {
            Err(PushError::Rejected(rejection)) => {
                assert_eq!(
                    (rejection.index, rejection.code),
                    (1, RejectCode::Policy("no-such-events".into()))
                );
            }
            other => panic!("{other:?}"),
        }
        let pushed = writer.push(named("v1.Revoked")).await;
        assert!(matches!(pushed, Err(PushError::Unauthorized(_))), "{pushed:?}");
        for name in ["v1.Absurd", "v1.Panics"] {
            let pushed = writer.push(named(name)).await;
            assert!(matches!(pushed, Err(PushError::Busy(_))), "{pushed:?}");
        }
        writer.push(push(0, 2)).await.unwrap();
    }
}

#[tokio::test]
async fn refused_clients_come_in_with_the_next_payload() {
    let (server, _) = guarded::serve().await;
    for client in 0..2 {
        let asked = Arc::new(AtomicUsize::new(0));
        let source = {
            let asked = asked.clone();
            move || {
                let token = if asked.fetch_add(1, Ordering::Relaxed) == 0 { "old" } else { "writer" };
                async move { Ok(payload(token)) }
            }
        };
        let client = clients(&server, source)[client].clone();
        let ended = client.pull(live()).next().await.unwrap();
        assert!(matches!(ended, Err(PullError::Unauthorized(_))), "{ended:?}");
        client.push(push(0, 1)).await.unwrap();
        client.pull(live()).next().await.unwrap().unwrap();
        assert!(asked.load(Ordering::Relaxed) >= 2);
    }
}

#[tokio::test]
async fn without_a_payload_to_show_clients_are_offline() {
    let (server, seen) = guarded::serve().await;
    let broken = || async { Err("the login page is closed".into()) };
    for client in clients(&server, broken) {
        let pushed = client.push(push(0, 1)).await;
        assert!(matches!(pushed, Err(PushError::Offline(_))), "{pushed:?}");
        let ended = client.pull(live()).next().await.unwrap();
        assert!(matches!(ended, Err(PullError::Offline(_))), "{ended:?}");
    }
    assert!(seen.peers.lock().unwrap().is_empty(), "something was sent");
}

#[tokio::test]
async fn access_ends_when_it_expires() {
    let (server, _) = guarded::serve().await;
    let [ws, _] = clients(&server, payload("once"));
    let pages = ws.pull(live()).filter_map(async |page| page.err());
    let ended = pin!(pages).next().await;
    assert!(
        matches!(&ended, Some(PullError::Unauthorized(why)) if why.contains("the access has expired (4401)")),
        "{ended:?}"
    );
    // The second time it is good for longer, and nothing else is needed.
    ws.push(push(0, 1)).await.unwrap();
    let [_, http] = clients(&server, payload("soon"));
    // A poll would wait for a minute; the next one shows its payload again.
    let answer = ask(&server, "GET", "/stores/todo/pull?after=1&wait=60s", &header("soon"), "").await;
    assert_eq!((answer.status, &answer.json()["through"]), (200, &1.into()));
    let mut pages = http.pull(live());
    pages.next().await.unwrap().unwrap();
    http.push(push(1, 1)).await.unwrap();
    assert_eq!(pages.next().await.unwrap().unwrap().through, GlobalSeq(2));
}

/// The authorizer sees what layers before the service found out, such as the peer of an axum server.
#[tokio::test]
async fn whoever_mounts_the_service_says_who_comes() {
    let (server, seen) = guarded::serve().await;
    let peer = PeerAddr("192.0.2.7:1234".parse().unwrap());
    let body = http_body_util::Empty::<bytes::Bytes>::new();
    let request = http::Request::get("/stores/todo").extension(peer).body(body).unwrap();
    assert_eq!(server.service().answer(request).await.status(), 401);
    assert_eq!(*seen.peers.lock().unwrap(), [peer.0]);
}
