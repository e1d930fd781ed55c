//! Programs that talk to a leader and should not, or not so: it goes on, and so do its sessions.

use std::sync::Arc;

use futures::StreamExt as _;
use livestore_traits::{Attachment, LinkError, OpenRendezvous, Rendezvous as _, SessionMessage};
use livestore_transport_local::{LocalConfig, LocalRendezvous, PROTOCOL_VERSION};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::{TestSession, attach, config, frame, good_greeting, greeting, item, soon, test_link};

/// A request: store id, no definitions, attach with session id, cursor, last n and label.
const ATTACH: &[u8] = b"\x08notebook\0\0\x03bad\0\0\0\0\x04test";

/// A leader with an honest session, which is checked to go on.
struct Scene {
    dir: TempDir,
    rendezvous: LocalRendezvous,
    sessions: UnboundedReceiver<TestSession>,
    honest: Attachment,
    served: TestSession,
    _open: Box<dyn OpenRendezvous>,
}

impl Scene {
    async fn new(config: LocalConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rendezvous = LocalRendezvous::new(dir.path(), config);
        let (link, mut sessions) = test_link();
        let _open = rendezvous.open(Arc::new(link)).await.unwrap();
        let honest = soon(rendezvous.connect().attach(attach("honest"))).await.unwrap();
        let served = soon(sessions.recv()).await.unwrap();
        Self { dir, rendezvous, sessions, honest, served, _open }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.path().join("leader.sock")).await.unwrap()
    }

    /// A connection after the greetings.
    async fn greeted(&self) -> UnixStream {
        let mut stream = self.connect().await;
        stream.write_all(&good_greeting(self.dir.path())).await.unwrap();
        soon(stream.read_exact(&mut [0; 44 + 2 + 18])).await.unwrap();
        stream
    }

    /// Says what a session would say that attaches, up to the answer.
    async fn attached(&mut self) -> (UnixStream, TestSession) {
        let mut stream = self.greeted().await;
        stream.write_all(&frame(ATTACH)).await.unwrap();
        let session = soon(self.sessions.recv()).await.unwrap();
        assert_eq!(session.attach, attach("bad"));
        (stream, session)
    }

    async fn goes_on(&mut self) {
        self.honest.sender.send(SessionMessage::Taken).unwrap();
        assert_eq!(soon(self.served.messages.recv()).await, Some(SessionMessage::Taken));
        self.served.items.send(item(1)).unwrap();
        assert_eq!(soon(self.honest.items.next()).await, Some(item(1)));
        assert!(soon(self.rendezvous.connect().sync_now()).await.is_ok());
    }
}

/// What the leader says until it closes the connection.
async fn read_all(mut stream: UnixStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A connection that is closed with bytes of ours unread is reset.
    let _ = soon(stream.read_to_end(&mut said)).await;
    said
}

/// Who does not begin as a session does, or does not know the secret, is told nothing at all.
#[tokio::test]
async fn who_is_no_session_learns_nothing() {
    let mut scene = Scene::new(config()).await;
    let good = good_greeting(scene.dir.path());
    let beginnings = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n".to_vec(),
        vec![0; 4096],
        vec![0xff; 4096],
        greeting(PROTOCOL_VERSION, &[b'x'; 32]),
        greeting(PROTOCOL_VERSION, &[0; 32]),
        greeting(PROTOCOL_VERSION + 1, &[b'x'; 32]),
    ];
    for beginning in beginnings {
        let mut stream = scene.connect().await;
        stream.write_all(&beginning).await.unwrap();
        assert_eq!(read_all(stream).await, b"");
    }
    for len in 0..good.len() {
        let mut stream = scene.connect().await;
        stream.write_all(&good[..len]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read_all(stream).await, b"", "{len} bytes of a greeting");
    }
    scene.goes_on().await;
}

/// A program of another version is told which version the leader has, and who leads.
#[tokio::test]
async fn another_version_is_told_ours() {
    let mut scene = Scene::new(config()).await;
    let secret = good_greeting(scene.dir.path())[12..].to_vec();
    for version in [0, PROTOCOL_VERSION + 1, u32::MAX] {
        let mut stream = scene.connect().await;
        stream.write_all(&greeting(version, &secret)).await.unwrap();
        let said = read_all(stream).await;
        assert_eq!(said[..12], greeting(PROTOCOL_VERSION, b""));
        assert!(said.ends_with(b"tester (process 7)"));
    }
    scene.goes_on().await;
}

/// Requests that are none, or far too long, end their connection.
#[tokio::test]
async fn a_request_that_is_none_is_not_served() {
    let mut scene = Scene::new(config()).await;
    let good = frame(b"\x08notebook\0\x02");
    let mut requests = vec![
        frame(b""),
        frame(b"\x08notebook"),
        frame(b"\x08notebook\0\x09"),
        frame(b"\x08notebook\0\x02more"),
        frame(b"\x08not/ebook\0\x02"),
        frame(&[0xff; 1000]),
        u32::MAX.to_le_bytes().to_vec(),
        frame(&[0; 100_000]),
    ];
    requests.extend((0..good.len()).map(|len| good[..len].to_vec()));
    for request in requests {
        let mut stream = scene.connect().await;
        stream.write_all(&good_greeting(scene.dir.path())).await.unwrap();
        // The leader may have closed the connection before it has all of it.
        let _ = stream.write_all(&request).await;
        let _ = stream.shutdown().await;
        let said = read_all(stream).await;
        // The greeting, and at most a few words.
        assert!(said.len() < 300, "{request:?} was answered with {} bytes", said.len());
    }
    scene.goes_on().await;
}

/// Who says nothing, or half of something, is not waited for: neither by others nor for long.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_not_waited_for() {
    let mut scene = Scene::new(config()).await;
    let silent = scene.connect().await;
    let mut greeted = scene.connect().await;
    greeted.write_all(&good_greeting(scene.dir.path())).await.unwrap();
    let mut half = scene.connect().await;
    half.write_all(&good_greeting(scene.dir.path())).await.unwrap();
    half.write_all(&frame(b"\x08notebook\0\x02")[..6]).await.unwrap();
    scene.goes_on().await;
    assert_eq!(read_all(silent).await, b"");
    assert_eq!(read_all(greeted).await.len(), 44 + 2 + 18);
    assert_eq!(read_all(half).await.len(), 44 + 2 + 18);
    scene.goes_on().await;
}

/// However many connections say nothing, sessions get through in the end.
#[tokio::test(start_paused = true)]
async fn a_crowd_that_says_nothing_is_outwaited() {
    let mut scene = Scene::new(config()).await;
    let mut crowd = Vec::new();
    for _ in 0..150 {
        crowd.push(scene.connect().await);
    }
    soon(async {
        while let Err(error) = scene.rendezvous.connect().sync_now().await {
            assert!(matches!(error, LinkError::Link(_)), "{error}");
        }
    })
    .await;
    scene.goes_on().await;
}

/// An attached session that sends what is no message is detached, and only it.
#[tokio::test]
async fn an_attached_session_that_breaks_the_rules_is_detached() {
    let mut scene = Scene::new(config()).await;
    let breaches = [
        frame(b""),
        frame(&[9]),
        frame(b"\x02more"),
        u32::MAX.to_le_bytes().to_vec(),
        b"\x05\0\0\0\x02".to_vec(),
    ];
    for breach in breaches {
        let (mut stream, mut session) = scene.attached().await;
        stream.write_all(&frame(b"\x02")).await.unwrap();
        assert_eq!(soon(session.messages.recv()).await, Some(SessionMessage::Taken));
        stream.write_all(&breach).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(soon(session.messages.recv()).await, None);
        scene.goes_on().await;
    }
}

/// A connection that was made before the session's present one, and whose request comes late, must not end that one: it
/// is what is left of an attach that was given up.
#[tokio::test]
async fn an_older_connection_does_not_attach_a_session_again() {
    let mut scene = Scene::new(config()).await;
    let mut older = scene.greeted().await;
    let (mut newer, mut session) = scene.attached().await;
    older.write_all(&frame(ATTACH)).await.unwrap();
    assert_eq!(read_all(older).await, frame(b"\x01\x00"), "gone");
    assert!(scene.sessions.try_recv().is_err(), "the older one was attached");
    newer.write_all(&frame(b"\x02")).await.unwrap();
    assert_eq!(soon(session.messages.recv()).await, Some(SessionMessage::Taken));
    drop(newer);
    assert_eq!(soon(session.messages.recv()).await, None);
    scene.goes_on().await;
}

/// Beyond the bound on connections others are told so, until there is room again.
#[tokio::test]
async fn connections_are_bounded() {
    let mut limited = config();
    limited.max_connections = 2;
    let scene = Scene::new(limited).await;
    let link = scene.rendezvous.connect();
    let reports = soon(link.reports()).await.unwrap();
    let crowded = soon(link.sync_now()).await.unwrap_err();
    let LinkError::Link(why) = crowded else { panic!("{crowded}") };
    assert_eq!(why.to_string(), "the leader serves 2 connections already");
    drop(reports);
    soon(async { while link.sync_now().await.is_err() {} }).await;
}
