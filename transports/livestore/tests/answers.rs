//! What a server, or something that is none, can answer to plain requests, byte by byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::StreamExt;
use livestore_conformance::backend::sample_events;
use livestore_traits::{
    BackendId, Cursor, GlobalSeq, PageInfo, Pull, PullError, PullMode, PullPage, Push, PushError, Recovery,
    StoreId, SyncBackend,
};
use livestore_transport_livestore::{LiveStoreHttp, LiveStoreHttpConfig, LiveStoreWs, LiveStoreWsConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers one connection after the other with these bytes, then closes it. Gives what was asked.
async fn serve(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.push(request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (address, serving)
}

async fn request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut piece = [0; 4096];
        let len = stream.read(&mut piece).await.unwrap();
        text.push_str(std::str::from_utf8(&piece[..len]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if len == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        assert!(len > 0, "the request ends early: {text}");
    }
}

fn ok(body: &str) -> String {
    status("200 OK", body)
}

fn status(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn http(address: &str) -> LiveStoreHttp {
    let url = format!("http://{address}/sync");
    LiveStoreHttp::new(LiveStoreHttpConfig::new(&url, StoreId::new("todo").unwrap()).unwrap())
}

fn push() -> Push {
    let backend_id = BackendId::new("b").unwrap();
    Push::new(Some(backend_id), GlobalSeq::ROOT, None, sample_events("client", GlobalSeq::ROOT, 1))
}

async fn pull(backend: &impl SyncBackend) -> Vec<Result<PullPage, PullError>> {
    backend.pull(Pull::new(None, Cursor::start(), PullMode::Live)).collect().await
}

fn failure(error: &str) -> String {
    format!(
        r#"[{{"_tag":"Exit","requestId":"0","exit":{{"_tag":"Failure","cause":{{"_tag":"Fail","error":{error}}}}}}}]"#
    )
}

const EMPTY_CHUNK: &str = r#"{"_tag":"Chunk","requestId":"0","values":[{"batch":[],"pageInfo":{"_tag":"NoMore"},"backendId":"b"}]}"#;
const SUCCESS: &str = r#"{"_tag":"Exit","requestId":"0","exit":{"_tag":"Success"}}"#;

#[tokio::test]
async fn a_request_is_as_livestore_sends_it() {
    let (address, serving) = serve(vec![ok(&format!("[{EMPTY_CHUNK},{SUCCESS}]"))]).await;
    let pages = pull(&http(&address)).await;
    assert_eq!(pages.len(), 1);
    assert_eq!(pages[0].as_ref().unwrap().info, PageInfo::CaughtUp);
    let asked = serving.await.unwrap().remove(0);
    assert!(asked.starts_with("POST /sync?storeId=todo&transport=http HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-livestore-store-id: todo\r\n"), "{asked}");
    assert!(asked.contains("content-type: application/json\r\n"), "{asked}");
    let body = asked.split_once("\r\n\r\n").unwrap().1;
    let expected = r#"{"_tag":"Request","id":"0","tag":"SyncHttpRpc.Pull","payload":{"storeId":"todo","cursor":{"_tag":"None"}},"headers":[]}"#;
    assert_eq!(body, expected);
}

#[tokio::test]
async fn every_answer_to_a_push_has_a_meaning() {
    for (answer, expected, recovery) in [
        (
            ok(&failure(r#"{"minimumExpectedNum":3,"providedNum":0,"_tag":"ServerAheadError"}"#)),
            "UpstreamAhead",
            Recovery::Rebase,
        ),
        (
            ok(&failure(r#"{"_tag":"UnknownError","cause":{"name":"Error","message":"no"}}"#)),
            "Backend",
            Recovery::PullThenRetry,
        ),
        (ok(r#"[{"_tag":"Defect","defect":"Unknown request tag: x"}]"#), "Backend", Recovery::PullThenRetry),
        (ok("[]"), "Unacknowledged", Recovery::PullThenRetry),
        (ok("[{"), "Unacknowledged", Recovery::PullThenRetry),
        (ok("<html>"), "Unacknowledged", Recovery::PullThenRetry),
        (String::new(), "Unacknowledged", Recovery::PullThenRetry),
        (status("502 Bad Gateway", "<html>"), "Unacknowledged", Recovery::PullThenRetry),
        (status("400 Bad Request", "Invalid path"), "Offline", Recovery::Backoff),
        (status("404 Not Found", ""), "Offline", Recovery::Backoff),
        (status("401 Unauthorized", "who are you"), "Unauthorized", Recovery::Unauthorized),
        (
            status("400 Bad Request", r#"UnknownError: { "cause": Error: Invalid auth token }"#),
            "Unauthorized",
            Recovery::Unauthorized,
        ),
    ] {
        let (address, _serving) = serve(vec![answer.clone()]).await;
        let error = http(&address).push(push()).await.unwrap_err();
        assert_eq!(error.recovery(), recovery, "{answer}: {error:?}");
        assert!(format!("{error:?}").starts_with(expected), "{answer}: {error:?}");
    }
}

#[tokio::test]
async fn every_answer_to_a_pull_has_a_meaning() {
    for (answer, expected) in [
        (ok("[]"), "Backend"),
        (ok(&format!("[{SUCCESS}]")), "Backend"),
        (ok(r#"[{"_tag":"Defect","defect":"no"}]"#), "Backend"),
        (ok(&failure(r#"{"expected":"b","received":"a","_tag":"BackendIdMismatchError"}"#)), "Diverged"),
        (ok(&failure(r#"{"_tag":"UnknownError","cause":"no"}"#)), "Backend"),
        (ok("hello"), "Backend"),
        (status("500 Internal Server Error", ""), "Offline"),
        (status("400 Bad Request", "Invalid path"), "Offline"),
        (status("403 Forbidden", ""), "Unauthorized"),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n[{EMPTY_CHUNK}"), "Offline"),
    ] {
        let (address, _serving) = serve(vec![answer.clone()]).await;
        let last = pull(&http(&address)).await.pop().unwrap();
        let error = last.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{answer}: {error:?}");
    }
}

#[tokio::test]
async fn nobody_listening_is_offline() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = http(&address.to_string()).push(push()).await.unwrap_err();
    let PushError::Offline(source) = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("refused"), "{source}");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut config = LiveStoreHttpConfig::new(&url, StoreId::new("todo").unwrap()).unwrap();
    config.request_timeout = Duration::from_millis(20);
    let error = LiveStoreHttp::new(config).push(push()).await.unwrap_err();
    assert!(matches!(error, PushError::Unacknowledged(_)), "{error:?}");
}

#[tokio::test]
async fn every_refusal_of_a_handshake_has_a_meaning() {
    for (answer, expected, told) in [
        (status("400 Bad Request", "Invalid path"), "Offline", "400: Invalid path"),
        (status("400 Bad Request", r#"UnknownError: { "cause": Error: Invalid auth token }"#), "Unauthorized", "auth token"),
        (status("401 Unauthorized", ""), "Unauthorized", "401"),
        (status("426 Upgrade Required", "Durable Object expected"), "Offline", "426"),
        (ok("hello"), "Offline", "200"),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), "Offline", "broke"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n"
                .to_owned(),
            "Backend",
            "not to this one",
        ),
    ] {
        let (address, serving) = serve(vec![answer.clone()]).await;
        let config =
            LiveStoreWsConfig::new(&format!("ws://{address}/sync"), StoreId::new("todo").unwrap()).unwrap();
        let error = pull(&LiveStoreWs::new(config)).await.pop().unwrap().unwrap_err();
        let said = format!("{error:?}");
        assert!(said.starts_with(expected), "{answer}: {said}");
        let words = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let words: Vec<_> = words.map(ToString::to_string).collect();
        assert!(words.join(": ").contains(told), "{answer}: {words:?}");
        let asked = serving.await.unwrap().remove(0);
        assert!(asked.starts_with("GET /sync?storeId=todo&transport=ws HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    }
}
