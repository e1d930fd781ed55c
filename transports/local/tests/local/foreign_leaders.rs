//! What listens at the leader's address and is no leader, or not a good one: an error in time, never a wrong answer.

use std::path::Path;

use futures::StreamExt as _;
use livestore_traits::{LinkError, Rendezvous as _};
use livestore_transport_local::{LocalRendezvous, PROTOCOL_VERSION};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::support::{attach, config, frame, greeting, soon};

const SECRET: &str = "ssssssssssssssssssssssssssssssssllllllllllllllllllllllllllllllll";

/// Listens where a leader would, at a known secret.
fn listen(dir: &Path) -> UnixListener {
    std::fs::write(dir.join("leader.addr"), format!("unix leader.sock {SECRET}\n")).unwrap();
    UnixListener::bind(dir.join("leader.sock")).unwrap()
}

/// A leader's greeting.
fn hello(version: u32) -> Vec<u8> {
    [&greeting(version, &[b'l'; 32])[..], b"\x05\0other"].concat()
}

/// Takes one connection and says this, whatever it is asked for; closes when the other side has.
async fn says(listener: &UnixListener, words: &[u8]) {
    let (mut stream, _) = listener.accept().await.unwrap();
    speak(&mut stream, words).await;
}

async fn speak(stream: &mut UnixStream, words: &[u8]) {
    stream.read_exact(&mut [0; 44]).await.unwrap();
    // Who hears what it does not like goes at once.
    let _ = stream.write_all(words).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// What asking for the status comes to when this is the answer.
async fn asked(words: &[u8]) -> LinkError {
    let dir = tempfile::tempdir().unwrap();
    let listener = listen(dir.path());
    let link = LocalRendezvous::new(dir.path(), config()).connect();
    let (answer, ()) = soon(futures::future::join(link.sync_now(), says(&listener, words))).await;
    answer.unwrap_err()
}

#[tokio::test]
async fn a_leader_of_another_version_does_not_fit() {
    let newer = asked(&hello(PROTOCOL_VERSION + 1)).await.to_string();
    assert_eq!(
        newer,
        "the leader does not fit: the leader, other, speaks version 2 of the local protocol, this program version 1: \
         update this program"
    );
    let older = asked(&hello(PROTOCOL_VERSION - 1)).await.to_string();
    assert!(older.ends_with("end that program, or update it"), "{older}");
}

#[tokio::test]
async fn another_program_is_no_leader() {
    let banner = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n";
    for words in [&b""[..], b"lvst", banner, &hello(PROTOCOL_VERSION)[..40], &hello(PROTOCOL_VERSION)] {
        assert!(matches!(asked(words).await, LinkError::Gone), "{words:?}");
    }
    // Of another address, for example on a port that was a leader's once.
    let other = [&greeting(PROTOCOL_VERSION, &[b'x'; 32])[..], b"\x05\0other"].concat();
    assert!(matches!(asked(&other).await, LinkError::Gone));
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error() {
    for answer in [
        frame(b""),
        frame(b"\x09"),
        frame(b"\x00more"),
        frame(b"\x05"),
        frame(b"\x04\x01"),
        u32::MAX.to_le_bytes().to_vec(),
    ] {
        let error = asked(&[hello(PROTOCOL_VERSION), answer.clone()].concat()).await;
        assert!(matches!(error, LinkError::Link(_)), "{answer:?}: {error}");
    }
    // It ended after it was busy.
    let error = asked(&[hello(PROTOCOL_VERSION), frame(b"\x00")].concat()).await;
    assert!(matches!(error, LinkError::Gone), "{error}");
}

/// A leader that takes connections and says nothing, as the system does for a stopped process.
#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let _listener = listen(dir.path());
    let link = LocalRendezvous::new(dir.path(), config()).connect();
    let errors = [
        link.attach(attach("s1")).await.unwrap_err(),
        link.snapshot(&attach("s1").session_id).await.unwrap_err(),
        link.sync_now().await.unwrap_err(),
        link.reports().await.err().unwrap(),
    ];
    for error in errors {
        let LinkError::Link(why) = error else { panic!("{error}") };
        assert_eq!(why.to_string(), "the leader has not answered for 5s: its process may be stopped");
    }
}

/// One that stops after its greeting, after it was busy, and in the middle of a snapshot.
#[tokio::test(start_paused = true)]
async fn one_that_stops_in_the_middle_is_not_waited_for() {
    let snapshot = [frame(b"\x03\0\0\0\x03\x0a"), frame(b"state")].concat();
    for said in
        [Vec::new(), frame(b"\x00"), snapshot[..8].to_vec(), snapshot.clone(), snapshot[..14].to_vec()]
    {
        let dir = tempfile::tempdir().unwrap();
        let listener = listen(dir.path());
        let link = LocalRendezvous::new(dir.path(), config()).connect();
        let session_id = attach("s1").session_id;
        let stops = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[hello(PROTOCOL_VERSION), said.clone()].concat()).await.unwrap();
            stream
        };
        let (answer, _stream) = futures::future::join(link.snapshot(&session_id), stops).await;
        assert!(matches!(answer, Err(LinkError::Link(_))), "{said:?}: {answer:?}");
    }
}

/// A stream of items that breaks ends, with the whole items before.
#[tokio::test]
async fn items_that_are_none_end_the_stream() {
    let item = frame(b"\x01\x03\x01\0\x02c1");
    let attached = [hello(PROTOCOL_VERSION), frame(b"\x02\x02c1\0\0"), item.clone()].concat();
    for end in [Vec::new(), item[..item.len() - 1].to_vec(), frame(b"\x01"), u32::MAX.to_le_bytes().to_vec()]
    {
        let dir = tempfile::tempdir().unwrap();
        let listener = listen(dir.path());
        let link = LocalRendezvous::new(dir.path(), config()).connect();
        let words = [attached.clone(), end.clone()].concat();
        let items = async {
            let attachment = link.attach(attach("s1")).await.unwrap();
            let items = attachment.items.collect::<Vec<_>>().await;
            assert!(attachment.sender.send(livestore_traits::SessionMessage::Taken).is_err());
            items
        };
        let (items, ()) = soon(futures::future::join(items, says(&listener, &words))).await;
        assert_eq!(items, [crate::support::item(1)], "{end:?}");
    }
}

/// The port of a leader that is gone may be anybody's. Who listens there learns only a secret that is void.
#[tokio::test]
async fn another_program_on_a_port_that_was_a_leaders_is_told_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    std::fs::write(dir.path().join("leader.addr"), format!("tcp {address} {SECRET}\n")).unwrap();
    let link = LocalRendezvous::new(dir.path(), config()).connect();
    let echo = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 44];
        stream.read_exact(&mut heard).await.unwrap();
        stream.write_all(&heard).await.unwrap();
        stream.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let (answer, heard) = soon(futures::future::join(link.attach(attach("s1")), echo)).await;
    assert!(matches!(answer, Err(LinkError::Gone)));
    assert_eq!(heard, greeting(PROTOCOL_VERSION, &[b's'; 32]));
}
