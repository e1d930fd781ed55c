//! Where a leader can be reached, what earlier ones left there, and who may.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use livestore_traits::{LinkError, OpenRendezvous, Rendezvous as _};
use livestore_transport_local::{LocalRendezvous, Medium};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::support::{attach, config, good_greeting, soon, test_link};

async fn open(rendezvous: &LocalRendezvous) -> Box<dyn OpenRendezvous> {
    rendezvous.open(Arc::new(test_link().0)).await.unwrap()
}

fn address(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("leader.addr")).unwrap()
}

fn mode(path: PathBuf) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn socket_and_address_are_for_the_user_alone() {
    let dir = tempfile::tempdir().unwrap();
    let _open = open(&LocalRendezvous::new(dir.path(), config())).await;
    assert!(address(dir.path()).starts_with("unix leader.sock "));
    assert_eq!(mode(dir.path().join("leader.sock")), 0o600);
    assert_eq!(mode(dir.path().join("leader.addr")), 0o600);
}

/// A directory whose path is longer than a socket's name may be, and one that is told not to use a socket.
#[tokio::test]
async fn without_a_socket_there_is_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let mut tcp = config();
    tcp.medium = Medium::Tcp;
    let long = dir.path().join("x".repeat(200));
    for rendezvous in [LocalRendezvous::new(&long, config()), LocalRendezvous::new(dir.path(), tcp)] {
        let _open = open(&rendezvous).await;
        let link = rendezvous.connect();
        assert!(soon(link.sync_now()).await.is_ok());
        assert!(soon(link.snapshot(&attach("s1").session_id)).await.is_ok());
    }
    for dir in [long, dir.path().to_owned()] {
        assert!(address(&dir).starts_with("tcp 127.0.0.1:"));
        assert!(!dir.join("leader.sock").exists());
        assert_eq!(mode(dir.join("leader.addr")), 0o600);
    }
}

/// One directory under two names.
#[tokio::test]
async fn a_directory_may_have_several_paths() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let _open = open(&LocalRendezvous::new(&data, config())).await;
    let other = dir.path().join("other");
    symlink(&data, &other).unwrap();
    assert!(soon(LocalRendezvous::new(other, config()).connect().sync_now()).await.is_ok());
}

#[tokio::test]
async fn where_nobody_leads_the_leader_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let link = LocalRendezvous::new(dir.path(), config()).connect();
    assert!(matches!(soon(link.sync_now()).await, Err(LinkError::Gone)));
    let missing = LocalRendezvous::new(dir.path().join("missing"), config()).connect();
    assert!(matches!(soon(missing.sync_now()).await, Err(LinkError::Gone)));
}

/// What a crash leaves stops neither sessions nor the next leader, whichever of both it used.
#[tokio::test]
async fn what_a_crashed_leader_left_stops_nobody() {
    let secret = "s".repeat(64);
    let mut tcp = config();
    tcp.medium = Medium::Tcp;
    for (place, next) in
        [("unix leader.sock", config()), ("unix leader.sock", tcp), ("tcp 127.0.0.1:1", config())]
    {
        let dir = tempfile::tempdir().unwrap();
        // Nobody listens at either.
        drop(UnixListener::bind(dir.path().join("leader.sock")).unwrap());
        std::fs::write(dir.path().join("leader.addr"), format!("{place} {secret}\n")).unwrap();
        std::fs::write(dir.path().join("leader.addr.new"), "unix lea").unwrap();
        let rendezvous = LocalRendezvous::new(dir.path(), next);
        let link = rendezvous.connect();
        assert!(matches!(soon(link.sync_now()).await, Err(LinkError::Gone)));
        let _open = open(&rendezvous).await;
        assert!(soon(link.sync_now()).await.is_ok());
    }
}

/// A link leads to whoever leads when it is used.
#[tokio::test]
async fn a_link_survives_changes_of_leaders() {
    let dir = tempfile::tempdir().unwrap();
    let link = LocalRendezvous::new(dir.path(), config()).connect();
    let mut tcp = config();
    tcp.medium = Medium::Tcp;
    for config in [config(), tcp, config()] {
        let open = open(&LocalRendezvous::new(dir.path(), config)).await;
        assert!(soon(link.sync_now()).await.is_ok());
        drop(open);
        soon(async {
            while !matches!(link.sync_now().await, Err(LinkError::Gone)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_address_of_unknown_kind_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("leader.addr"), "pipe leader\n").unwrap();
    let error = soon(LocalRendezvous::new(dir.path(), config()).connect().sync_now()).await.unwrap_err();
    assert!(matches!(error, LinkError::Incompatible(_)), "{error}");
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let opened = LocalRendezvous::new(&file, config()).open(Arc::new(test_link().0)).await;
    let LinkError::Link(error) = opened.unwrap_err() else { panic!("another kind of error") };
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}

/// Tells [`other_user`] which directory to look into; without it that test does nothing.
const VARIABLE: &str = "LIVESTORE_TEST_OTHER_USER";

/// Not a case: a process of another user, that somebody let through to socket and address.
#[tokio::test]
async fn other_user() {
    let Some(dir) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    let error = soon(LocalRendezvous::new(&dir, config()).connect().attach(attach("s1"))).await.unwrap_err();
    assert!(matches!(&error, LinkError::Refused(why) if why.contains("runs as the user")), "{error}");
    // One that does not look whom it talks to.
    let mut stream = UnixStream::connect(dir.join("leader.sock")).await.unwrap();
    let _ = stream.write_all(&good_greeting(&dir)).await;
    let mut said = Vec::new();
    let _ = soon(stream.read_to_end(&mut said)).await;
    assert_eq!(said, b"", "the leader talks to another user");
}

#[tokio::test]
async fn only_processes_of_the_same_user_get_through() {
    const NOBODY: u32 = 65534;
    let dir = tempfile::tempdir().unwrap();
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let _open = open(&rendezvous).await;
    assert!(soon(rendezvous.connect().sync_now()).await.is_ok());

    // Without these, the file system stops others before the check that is meant here.
    for (name, mode) in [("", 0o755), ("leader.sock", 0o666), ("leader.addr", 0o644)] {
        let path = dir.path().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["places::other_user", "--exact"]).env(VARIABLE, dir.path()).stdout(Stdio::piped());
    std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
    match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
        // Only the superuser can start processes of others.
        Err(error) => eprintln!("skipped: no process of another user can be started: {error}"),
    }
}
