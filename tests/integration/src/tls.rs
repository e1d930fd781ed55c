//! A proxy that terminates TLS before a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A proxy with a certificate that only those trust who are told to. It ends when it is dropped.
#[derive(Debug)]
pub struct TlsProxy {
    addr: SocketAddr,
    certificate: String,
    _running: oneshot::Sender<()>,
}

impl TlsProxy {
    /// A proxy before the server at `to`, on a free port of this machine. Its certificate is for `host`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(host: &str, to: SocketAddr) -> Self {
        let signed = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let (running, ended) = oneshot::channel();
        // On a thread of its own, for tests with and without a runtime.
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let accepting =
                    tokio::spawn(terminate(TcpListener::from_std(listener).unwrap(), acceptor, to));
                let _ = ended.await;
                accepting.abort();
            });
        });
        Self { addr, certificate: signed.cert.pem(), _running: running }
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }
}

async fn terminate(listener: TcpListener, acceptor: TlsAcceptor, to: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that does not trust the certificate hangs up.
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let Ok(mut server) = TcpStream::connect(to).await else { return };
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
