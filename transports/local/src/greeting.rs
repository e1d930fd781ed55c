//! The first bytes in each direction, whose form never changes, so that all versions understand them.
//!
//! ```text
//! session: "lvstlink" · version (u32) · its half of the secret (32 bytes)
//! leader:  "lvstlink" · version (u32) · its half of the secret (32 bytes) · length (u16) · label
//! ```
//!
//! Numbers are little-endian. The leader says nothing to who does not know the secret. If the versions differ it closes the
//! connection after its greeting; the other side finds the words, since it has somebody to tell.

use livestore_traits::LinkError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::LocalError;
use crate::address::{PROOF_BYTES, Proof, Secret, is_proof};

/// The version of the protocol between a session's process and the leader's. It rises with every change of a message,
/// also of those types of `livestore-traits` that messages consist of.
pub const PROTOCOL_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"lvstlink";
const BYTES: usize = MAGIC.len() + 4 + PROOF_BYTES;

/// What a leader may say about itself.
const MAX_LABEL_CHARS: usize = 200;

/// What one side says first.
#[derive(Debug)]
struct Greeting {
    version: u32,
    proof: Proof,
}

impl Greeting {
    const fn of(proof: Proof) -> Self {
        Self { version: PROTOCOL_VERSION, proof }
    }

    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let (magic, rest) = bytes.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        rest[..4].copy_from_slice(&self.version.to_le_bytes());
        rest[4..].copy_from_slice(&self.proof);
        bytes
    }

    /// `None` if it is no greeting.
    fn decode(bytes: &[u8; BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (version, proof) = rest.split_first_chunk()?;
        Some(Self { version: u32::from_le_bytes(*version), proof: proof.try_into().ok()? })
    }

    async fn read(read: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>, LocalError> {
        let mut bytes = [0; BYTES];
        read.read_exact(&mut bytes).await?;
        Ok(Self::decode(&bytes))
    }
}

/// The leader's side. An error ends the connection.
pub(crate) async fn greet_session(
    read: &mut (impl AsyncRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
    secret: &Secret,
    label: &str,
) -> Result<(), LocalError> {
    let theirs = Greeting::read(read).await?;
    let knows_us = |theirs: &Greeting| is_proof(&theirs.proof, secret.of_session());
    let Some(theirs) = theirs.filter(knows_us) else {
        return Err(LocalError::Protocol("it is no session of this leader".into()));
    };
    let label: String = label.chars().take(MAX_LABEL_CHARS).collect();
    let mut bytes = Greeting::of(*secret.of_leader()).encode().to_vec();
    bytes.extend((label.len() as u16).to_le_bytes());
    bytes.extend(label.as_bytes());
    write.write_all(&bytes).await?;
    if theirs.version == PROTOCOL_VERSION {
        return Ok(());
    }
    Err(LocalError::Protocol(format!("it speaks version {}", theirs.version)))
}

/// The session's side. A leader of another version is named in the error.
pub(crate) async fn greet_leader(
    read: &mut (impl AsyncRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
    secret: &Secret,
) -> Result<(), LinkError> {
    let ours = Greeting::of(*secret.of_session()).encode();
    write.write_all(&ours).await.map_err(LocalError::from)?;
    let theirs = Greeting::read(read).await?;
    let knows_us = |theirs: &Greeting| is_proof(&theirs.proof, secret.of_leader());
    // Otherwise the address was that of an earlier leader, and what listens there now may be anything.
    let theirs = theirs.filter(knows_us).ok_or(LinkError::Gone)?;
    let label_bytes = read.read_u16_le().await.map_err(LocalError::from)?;
    let mut label = vec![0; usize::from(label_bytes)];
    read.read_exact(&mut label).await.map_err(LocalError::from)?;
    let label = String::from_utf8_lossy(&label).into_owned();
    if theirs.version == PROTOCOL_VERSION { Ok(()) } else { Err(other_version(&label, theirs.version)) }
}

fn other_version(label: &str, version: u32) -> LinkError {
    let advice = match version > PROTOCOL_VERSION {
        true => "update this program",
        false => "end that program, or update it",
    };
    LinkError::Incompatible(format!(
        "the leader, {label}, speaks version {version} of the local protocol, this program version \
         {PROTOCOL_VERSION}: {advice}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs of all versions, past and to come, have to read this.
    #[test]
    fn the_form_of_a_greeting_never_changes() {
        let bytes = Greeting { version: 0x0102_0304, proof: [b'p'; PROOF_BYTES] }.encode();
        assert_eq!(bytes[..], *b"lvstlink\x04\x03\x02\x01pppppppppppppppppppppppppppppppp");
        let greeting = Greeting::decode(&bytes).unwrap();
        assert_eq!((greeting.version, greeting.proof), (0x0102_0304, [b'p'; PROOF_BYTES]));
        assert!(Greeting::decode(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*").is_none());
    }

    #[test]
    fn who_is_of_another_version_is_told_what_to_do() {
        let newer = other_version("todo (process 12)", PROTOCOL_VERSION + 1).to_string();
        assert!(newer.contains("todo (process 12)") && newer.contains("update this program"), "{newer}");
        let older = other_version("todo (process 12)", PROTOCOL_VERSION - 1).to_string();
        assert!(older.contains("end that program"), "{older}");
    }
}
