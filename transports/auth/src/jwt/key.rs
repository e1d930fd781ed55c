//! The key that tokens are verified with.
//!
//! A key belongs to one algorithm, and a token that claims another one is refused: otherwise somebody could sign with a
//! public key as if it were a shared secret. For that reason, too, a secret may not look like a PEM file.

use std::fmt;
use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};

/// Shorter secrets can be guessed from one token; RFC 7518 forbids them.
const MIN_SECRET_BYTES: usize = 32;
/// The DER form of a public RSA key of 2048 bits is a little longer than its modulus.
const MIN_RSA_BYTES: usize = 256;
/// An uncompressed point of the curve P-256.
const P256_POINT_BYTES: usize = 65;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256: whoever can verify can sign.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

impl JwtAlgorithm {
    pub(super) const fn as_library(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
        }
    }
}

impl fmt::Display for JwtAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        })
    }
}

/// A key together with the one algorithm it is for. Never printed.
#[derive(Clone)]
pub struct JwtKey {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) key: DecodingKey,
}

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The file cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is there is no key for the algorithm.
    #[error("{whose} is no key for {algorithm}: {problem}")]
    Unfit {
        /// The file, or "the key".
        whose: String,
        /// The algorithm.
        algorithm: JwtAlgorithm,
        /// Why not.
        problem: &'static str,
    },
}

impl JwtKey {
    /// The key in a file: for HS256 the secret, of 32 bytes and more, a line break at its end left out; for RS256 and ES256
    /// the public key in PEM, `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// [`InvalidKey`] if the file cannot be read or has no such key.
    pub fn from_file(algorithm: JwtAlgorithm, path: impl AsRef<Path>) -> Result<Self, InvalidKey> {
        let path = path.as_ref();
        let bytes =
            std::fs::read(path).map_err(|source| InvalidKey::Unreadable { path: path.to_owned(), source })?;
        read(algorithm, &bytes).map_err(|problem| InvalidKey::Unfit {
            whose: path.display().to_string(),
            algorithm,
            problem,
        })
    }

    /// The same, from bytes.
    ///
    /// # Errors
    /// [`InvalidKey::Unfit`] if they are no such key.
    pub fn from_bytes(algorithm: JwtAlgorithm, bytes: &[u8]) -> Result<Self, InvalidKey> {
        read(algorithm, bytes).map_err(|problem| InvalidKey::Unfit {
            whose: "the key".to_owned(),
            algorithm,
            problem,
        })
    }
}

fn read(algorithm: JwtAlgorithm, bytes: &[u8]) -> Result<JwtKey, &'static str> {
    let key = match algorithm {
        JwtAlgorithm::Hs256 => secret(bytes)?,
        JwtAlgorithm::Rs256 => {
            let key = DecodingKey::from_rsa_pem(public_pem(bytes)?)
                .map_err(|_| "it is not the PEM form of a public RSA key")?;
            if key.as_bytes().len() < MIN_RSA_BYTES {
                return Err("it is shorter than 2048 bits");
            }
            key
        }
        JwtAlgorithm::Es256 => {
            let key = DecodingKey::from_ec_pem(public_pem(bytes)?)
                .map_err(|_| "it is not the PEM form of a public EC key")?;
            if key.as_bytes().len() != P256_POINT_BYTES {
                return Err("it is on another curve than P-256");
            }
            key
        }
    };
    Ok(JwtKey { algorithm, key })
}

fn secret(bytes: &[u8]) -> Result<DecodingKey, &'static str> {
    let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.starts_with(b"-----BEGIN") {
        return Err("it is a PEM file, and a secret is expected");
    }
    if secret.len() < MIN_SECRET_BYTES {
        return Err("a secret has at least 32 bytes");
    }
    Ok(DecodingKey::from_secret(secret))
}

/// A server has no use for a private key, and one that lies about can be stolen.
fn public_pem(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"-----BEGIN PUBLIC KEY-----") || text.starts_with(b"-----BEGIN RSA PUBLIC KEY-----")
    {
        Ok(text)
    } else if text.starts_with(b"-----BEGIN") && text.windows(11).take(64).any(|part| part == b"PRIVATE KEY")
    {
        Err("it is a private key; verifying takes the public one alone")
    } else {
        Err("it does not begin with -----BEGIN PUBLIC KEY-----")
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
