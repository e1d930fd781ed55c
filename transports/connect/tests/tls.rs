//! Every transport through TLS, with a certificate that only those trust who are told to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use futures::StreamExt;
use livestore_backend_memory::MemoryBackends;
use livestore_connect::{Connect, Roots};
use livestore_integration::TlsProxy;
use livestore_server::Server;
use livestore_traits::{Cursor, PageInfo, Pull, PullError, PullMode, PullPage, StoreId};

const SCHEMES: [&str; 4] = ["wss", "https", "livestore+wss", "livestore+https"];

/// A server behind a proxy that terminates TLS.
struct Secure {
    _server: Server,
    proxy: TlsProxy,
}

async fn serve(host: &str) -> Secure {
    let server = Server::builder(MemoryBackends::new()).bind("127.0.0.1:0").await.unwrap();
    let proxy = TlsProxy::start(host, server.local_addr());
    Secure { _server: server, proxy }
}

async fn first_page(secure: &Secure, scheme: &str, roots: Roots) -> Result<PullPage, PullError> {
    let url = format!("{scheme}://localhost:{}", secure.proxy.port());
    let backend = Connect::to(url, StoreId::new("todo").unwrap()).roots(roots).backend().unwrap();
    let mut pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    pages.next().await.unwrap()
}

#[tokio::test]
async fn a_certificate_that_is_trusted_is_enough() {
    let secure = serve("localhost").await;
    for scheme in SCHEMES {
        let roots = Roots::public().and_pem(secure.proxy.certificate().as_bytes()).unwrap();
        assert_eq!(first_page(&secure, scheme, roots).await.unwrap().info, PageInfo::CaughtUp, "{scheme}");
    }
}

#[tokio::test]
async fn other_certificates_are_refused_with_the_reason() {
    let secure = serve("localhost").await;
    let misnamed = serve("example.com").await;
    let misnamed_roots = Roots::public().and_pem(misnamed.proxy.certificate().as_bytes()).unwrap();
    for (server, roots, why) in
        [(&secure, Roots::public(), "UnknownIssuer"), (&misnamed, misnamed_roots, "not valid for name")]
    {
        for scheme in SCHEMES {
            let error = first_page(server, scheme, roots.clone()).await.unwrap_err();
            let PullError::Offline(source) = &error else { panic!("{scheme}: {error:?}") };
            let said = source.to_string();
            assert!(
                said.starts_with("the server cannot be reached: ") && said.contains(why),
                "{scheme}: {said}"
            );
        }
    }
}
