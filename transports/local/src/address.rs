//! Where the leader listens: one line in a file of the data directory, replaced as a whole.
//!
//! ```text
//! unix leader.sock <secret>
//! tcp 127.0.0.1:40123 <secret>
//! ```
//!
//! The socket is named relative to the directory, which processes may know by different paths. Lines after the first are
//! passed over, for versions to come.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use livestore_traits::LinkError;
use nanoid::nanoid;
use subtle::ConstantTimeEq as _;

use crate::LocalError;

const FILE: &str = "leader.addr";
const NEW_FILE: &str = "leader.addr.new";

/// Where a leader listens, and what proves that it is the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) place: Place,
    pub(crate) secret: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A socket in the data directory.
    Unix(String),
    /// A port of the loopback interface.
    Tcp(SocketAddr),
}

/// Proves that both sides can read the address: each shows its half. The leader answers only to the right one, and who
/// connects asks only one that answers rightly, since the port of a leader that is gone may be anybody's.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

/// One half of a [`Secret`].
pub(crate) const PROOF_BYTES: usize = 32;

pub(crate) type Proof = [u8; PROOF_BYTES];

impl Secret {
    /// 192 random bits for each half.
    pub(crate) fn random() -> Self {
        Self(nanoid!(2 * PROOF_BYTES))
    }

    fn parse(text: &str) -> Option<Self> {
        let is_good = text.len() == 2 * PROOF_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_good.then(|| Self(text.to_owned()))
    }

    /// What who connects shows.
    pub(crate) fn of_session(&self) -> &Proof {
        self.0.as_bytes().first_chunk().expect("a secret is two proofs long")
    }

    /// What the leader shows.
    pub(crate) fn of_leader(&self) -> &Proof {
        self.0.as_bytes().last_chunk().expect("a secret is two proofs long")
    }
}

impl fmt::Debug for Secret {
    /// Prints no byte of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Whether a proof is the right one, in a time that does not tell how far it is right.
pub(crate) fn is_proof(shown: &Proof, right: &Proof) -> bool {
    shown.ct_eq(right).into()
}

impl Address {
    /// Reads where the leader of a directory listens.
    pub(crate) fn load(dir: &Path) -> Result<Self, LinkError> {
        let path = dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(LinkError::Gone),
            Err(error) => return Err(LocalError::file("read", &path)(error).into()),
        };
        // After a power cut a file may be there without its content.
        if text.iter().all(|byte| *byte == 0) {
            return Err(LinkError::Gone);
        }
        std::str::from_utf8(&text).ok().and_then(Self::parse).ok_or_else(|| {
            let path = path.display();
            LinkError::Incompatible(format!("{path} was written by another version, or is damaged"))
        })
    }

    /// Makes this the address of a directory. Nobody else can read it at any moment.
    pub(crate) fn store(&self, dir: &Path) -> Result<(), LocalError> {
        let (path, new_path) = (dir.join(FILE), dir.join(NEW_FILE));
        // What a crash left could have other permissions.
        remove(&new_path).map_err(LocalError::file("remove", &new_path))?;
        let write = || writeln!(private().open(&new_path)?, "{self}");
        write().map_err(LocalError::file("write", &new_path))?;
        fs::rename(&new_path, &path).map_err(LocalError::file("replace", &path))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.lines().next()?.split(' ');
        let (kind, place, secret) = (words.next()?, words.next()?, words.next()?);
        let place = match kind {
            // A name, not a path: it must not lead out of the directory.
            "unix" if !place.is_empty() && !place.contains(['/', '\\']) => Place::Unix(place.to_owned()),
            "tcp" => {
                Place::Tcp(place.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback())?)
            }
            _ => return None,
        };
        let address = Self { place, secret: Secret::parse(secret)? };
        words.next().is_none().then_some(address)
    }
}

impl fmt::Display for Address {
    /// As it stands in the file, secret included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(name) => write!(f, "unix {name} {}", self.secret.0),
            Place::Tcp(address) => write!(f, "tcp {address} {}", self.secret.0),
        }
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A new file that only this user can read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "abcdefghijklmnopqrstuvwxyz012345ABCDEFGHIJKLMNOPQRSTUVWXYZ_-6789";

    fn address(place: Place) -> Address {
        Address { place, secret: Secret::parse(SECRET).unwrap() }
    }

    #[test]
    fn an_address_is_stored_in_this_text() {
        for (place, text) in [
            (Place::Unix("leader.sock".into()), format!("unix leader.sock {SECRET}")),
            (Place::Tcp("127.0.0.1:40123".parse().unwrap()), format!("tcp 127.0.0.1:40123 {SECRET}")),
        ] {
            let address = address(place);
            assert_eq!(address.to_string(), text);
            assert_eq!(Address::parse(&text), Some(address.clone()));
            assert_eq!(Address::parse(&format!("{text}\nsomething new\n")), Some(address));
        }
    }

    #[test]
    fn what_is_no_address_is_not_taken_for_one() {
        for text in [
            String::new(),
            "unix".into(),
            "unix leader.sock".into(),
            "unix leader.sock short".into(),
            format!("unix ../leader.sock {SECRET}"),
            format!("unix leader.sock {SECRET} more"),
            format!("pipe leader {SECRET}"),
            format!("tcp 192.0.2.1:80 {SECRET}"),
            format!("tcp 127.0.0.1 {SECRET}"),
        ] {
            assert_eq!(Address::parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_a_crash_emptied_is_no_leader() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Address::load(dir.path()), Err(LinkError::Gone)));
        for content in ["", "\0\0\0"] {
            fs::write(dir.path().join(FILE), content).unwrap();
            assert!(matches!(Address::load(dir.path()), Err(LinkError::Gone)));
        }
        fs::write(dir.path().join(FILE), "carrier-pigeon 7").unwrap();
        assert!(matches!(Address::load(dir.path()), Err(LinkError::Incompatible(_))));
    }

    #[test]
    fn storing_replaces_whatever_was_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "of a leader that crashed").unwrap();
        fs::write(dir.path().join(NEW_FILE), "half of an addr").unwrap();
        let address = Address { place: Place::Unix("leader.sock".into()), secret: Secret::random() };
        address.store(dir.path()).unwrap();
        assert_eq!(Address::load(dir.path()).unwrap(), address);
        assert!(!dir.path().join(NEW_FILE).exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_secret_never_prints() {
        assert!(!format!("{:?}", address(Place::Unix("leader.sock".into()))).contains(&SECRET[..8]));
    }
}
