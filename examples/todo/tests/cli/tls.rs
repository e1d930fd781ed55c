//! A server behind a proxy that terminates TLS, over every transport.

use std::fs;

use livestore_integration::TlsProxy;

use crate::support::{Client, TestServer};

const SCHEMES: [&str; 4] = ["wss", "https", "livestore+wss", "livestore+https"];

#[test]
fn clients_converge_if_they_trust_the_certificate() {
    let server = TestServer::start();
    let proxy = TlsProxy::start("localhost", server.addr());
    for (scheme, n) in SCHEMES.into_iter().zip(1..) {
        let client = Client::of(format!("{scheme}://localhost:{}", proxy.port()));
        let ca = client.dir().join("ca.pem");
        fs::write(&ca, proxy.certificate()).unwrap();
        let said = client.ok(&["add", scheme, "--ca", ca.to_str().unwrap()]);
        assert!(said.ends_with(&format!("confirmed as e{n}\n")), "{said}");
        let items: Vec<_> = SCHEMES[..n].iter().map(|scheme| format!("[ ] {scheme}")).collect();
        assert_eq!(client.items(), items);
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_with_the_reason() {
    let server = TestServer::start();
    let proxy = TlsProxy::start("localhost", server.addr());
    for scheme in SCHEMES {
        let said = Client::of(format!("{scheme}://localhost:{}", proxy.port())).ok(&["status"]);
        assert!(said.contains("UnknownIssuer"), "{said}");
    }
}
