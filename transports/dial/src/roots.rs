//! Whom to trust.

use std::fmt;

/// The certificate authorities that a server's certificate may come from: those of Mozilla's list, and one's own.
///
/// Without the feature `tls` there is nothing to trust, and nothing can be added.
#[derive(Clone)]
pub struct Roots {
    #[cfg(feature = "tls")]
    store: rustls::RootCertStore,
}

/// A text is not a list of certificates in PEM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRoot {
    /// It has no certificate.
    #[error("there is no PEM certificate in it")]
    None,
    /// One of them cannot be read.
    #[error("a certificate cannot be read: {0}")]
    Malformed(String),
    /// This program was built without TLS.
    #[error("this program was built without TLS")]
    NoTls,
}

impl Roots {
    /// The public ones.
    #[must_use]
    pub fn public() -> Self {
        Self {
            #[cfg(feature = "tls")]
            store: webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        }
    }

    /// Trusts the certificates in `pem` too, for example that of a company's own authority. A certificate that signed
    /// itself is its own authority.
    ///
    /// # Errors
    /// [`InvalidRoot`] if the text has none, or a bad one.
    pub fn and_pem(self, pem: &[u8]) -> Result<Self, InvalidRoot> {
        self.add(pem)
    }

    #[cfg(feature = "tls")]
    fn add(mut self, pem: &[u8]) -> Result<Self, InvalidRoot> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let malformed = |error: &dyn fmt::Display| InvalidRoot::Malformed(error.to_string());
        let known = self.store.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| malformed(&error))?;
            self.store.add(certificate).map_err(|error| malformed(&error))?;
        }
        if self.store.len() == known { Err(InvalidRoot::None) } else { Ok(self) }
    }

    #[cfg(not(feature = "tls"))]
    fn add(self, _: &[u8]) -> Result<Self, InvalidRoot> {
        Err(InvalidRoot::NoTls)
    }

    #[cfg(feature = "tls")]
    pub(crate) fn client_config(&self) -> rustls::ClientConfig {
        // Named, because a program that has two kinds of cryptography has no default one.
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what the safe versions need")
            .with_root_certificates(self.store.clone())
            .with_no_client_auth()
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::public()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").finish_non_exhaustive()
    }
}
