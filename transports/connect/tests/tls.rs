//! Every transport through TLS, with a certificate that only those trust who are told to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;

use futures::StreamExt;
use livestore_backend_memory::MemoryBackends;
use livestore_connect::{Connect, Roots};
use livestore_server::Server;
use livestore_traits::{Cursor, PageInfo, Pull, PullError, PullMode, PullPage, StoreId};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const SCHEMES: [&str; 4] = ["wss", "https", "livestore+wss", "livestore+https"];

/// A server behind a proxy that terminates TLS.
struct Secure {
    _server: Server,
    addr: SocketAddr,
    certificate: String,
}

async fn serve(host: &str) -> Secure {
    let server = Server::builder(MemoryBackends::new()).bind("127.0.0.1:0").await.unwrap();
    let signed = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(terminate(listener, TlsAcceptor::from(Arc::new(config)), server.local_addr()));
    Secure { _server: server, addr, certificate: signed.cert.pem() }
}

async fn terminate(listener: TcpListener, acceptor: TlsAcceptor, to: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that does not trust the certificate hangs up.
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let mut server = TcpStream::connect(to).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

async fn first_page(secure: &Secure, scheme: &str, roots: Roots) -> Result<PullPage, PullError> {
    let url = format!("{scheme}://localhost:{}", secure.addr.port());
    let backend = Connect::to(url, StoreId::new("todo").unwrap()).roots(roots).backend().unwrap();
    let mut pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    pages.next().await.unwrap()
}

#[tokio::test]
async fn a_certificate_that_is_trusted_is_enough() {
    let secure = serve("localhost").await;
    for scheme in SCHEMES {
        let roots = Roots::public().and_pem(secure.certificate.as_bytes()).unwrap();
        assert_eq!(first_page(&secure, scheme, roots).await.unwrap().info, PageInfo::CaughtUp, "{scheme}");
    }
}

#[tokio::test]
async fn other_certificates_are_refused_with_the_reason() {
    let secure = serve("localhost").await;
    let misnamed = serve("example.com").await;
    let misnamed_roots = Roots::public().and_pem(misnamed.certificate.as_bytes()).unwrap();
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
