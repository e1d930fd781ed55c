//! Web pages of other origins.

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use livestore_backend_memory::MemoryBackends;
use livestore_server::{Cors, Server};

use crate::guarded;
use crate::support::{Answer, request};

const BODY: &str = r#"{"_tag":"Ping"}"#;
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

async fn serve(cors: Cors) -> Server {
    Server::builder(MemoryBackends::new()).cors(cors).bind("127.0.0.1:0").await.unwrap()
}

async fn ask(server: &Server, method: &str, path: &str, origin: &str) -> Answer {
    let asked = "content-type,x-livestore-store-id,b3,traceparent";
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", asked),
    ];
    let headers = if method == "OPTIONS" { &headers[..] } else { &headers[..1] };
    request(server.local_addr(), method, path, headers, BODY).await
}

#[tokio::test]
async fn every_page_may_read_every_answer() {
    let server = serve(Cors::any()).await;
    for (method, path, status) in [
        ("OPTIONS", "/?storeId=todo&transport=http", 204),
        ("OPTIONS", "/", 204),
        ("POST", "/?storeId=todo&transport=http", 200),
        ("POST", "/?storeId=todo", 400),
        ("GET", "/?storeId=todo&transport=ws", 426),
        ("GET", "/stores/todo/pull", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/health", 200),
    ] {
        let answer = ask(&server, method, path, "https://app.example").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header(ALLOW_ORIGIN), Some("*"), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, OPTIONS"));
        let headers =
            if method == "OPTIONS" { "content-type,x-livestore-store-id,b3,traceparent" } else { "*" };
        assert_eq!(answer.header("access-control-allow-headers"), Some(headers));
    }
}

/// What a page cannot read it cannot tell from a broken connection.
#[tokio::test]
async fn every_page_may_read_why_it_is_refused() {
    let server = Server::builder(MemoryBackends::new())
        .cors(Cors::any())
        .authorizer(guarded::Tokens::default())
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    for (method, path, status) in [
        ("POST", "/?storeId=todo&transport=http", 400),
        ("GET", "/?storeId=todo&transport=ws", 400),
        ("POST", "/?storeId=todo&transport=http&payload=%2522fails%2522", 503),
        ("GET", "/stores/todo/pull", 401),
        ("POST", "/stores/todo/push", 401),
        ("OPTIONS", "/stores/todo/push", 204),
        ("GET", "/", 200),
    ] {
        let answer = ask(&server, method, path, "https://app.example").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header(ALLOW_ORIGIN), Some("*"), "{method} {path}");
        assert_eq!(answer.header("access-control-max-age").is_some(), status == 204, "{method} {path}");
    }
    server.shutdown().await;
    let drained = Request::get("/stores/todo/pull").body(Empty::<Bytes>::new()).unwrap();
    let answer = server.service().answer(drained).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()[ALLOW_ORIGIN]), (503, &"*".parse().unwrap()));
}

#[tokio::test]
async fn only_pages_of_known_origins_may() {
    let server = serve(Cors::origins(["https://a.example", "http://localhost:5173"])).await;
    for (origin, allowed) in [
        ("https://a.example", Some("https://a.example")),
        ("http://localhost:5173", Some("http://localhost:5173")),
        ("https://a.example.evil", None),
        ("null", None),
    ] {
        for method in ["OPTIONS", "POST"] {
            let answer = ask(&server, method, "/?storeId=todo&transport=http", origin).await;
            assert_eq!(answer.header(ALLOW_ORIGIN), allowed, "{method} from {origin}");
            assert_eq!(answer.header("vary"), Some("origin"));
        }
    }
}

#[tokio::test]
async fn by_default_no_page_may() {
    let server = serve(Cors::default()).await;
    let path = "/?storeId=todo&transport=http";
    let answer = ask(&server, "POST", path, "https://app.example").await;
    assert_eq!((answer.status, answer.header(ALLOW_ORIGIN), answer.header("vary")), (200, None, None));
    // A preflight is then a request as any other.
    let answer = ask(&server, "OPTIONS", path, "https://app.example").await;
    assert_eq!((answer.status, answer.header(ALLOW_ORIGIN)), (200, None));
}
