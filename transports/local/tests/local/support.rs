//! What the tests share: a leader that does what a test says, and the first bytes of a connection by hand.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use livestore_traits::{
    Attach, Attached, Attachment, BoxStream, ClientId, ConnectionStatus, Held, LeaderItem, LeaderLink,
    LeaderReport, LeaderStatus, Limits, LinkError, RebaseGeneration, SeqNum, SessionId, SessionMessage,
    SessionPayload, SessionSender, SessionSnapshot, Snapshot, StoreId, SyncActivity, Term,
};
use livestore_transport_local::{LocalConfig, PROTOCOL_VERSION};
use tokio::sync::{mpsc, watch};

/// Longer than anything takes: reaching it is a hang.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Fails instead of hanging.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it hangs")
}

pub(crate) fn store_id() -> StoreId {
    StoreId::new("notebook").unwrap()
}

pub(crate) fn config() -> LocalConfig {
    let mut config = LocalConfig::new(store_id());
    config.label = "tester (process 7)".into();
    config
}

pub(crate) fn attach(session: &str) -> Attach {
    let session_id = SessionId::new(session).unwrap();
    Attach { session_id, cursor: SeqNum::ROOT, last_n: 0, label: "test".into() }
}

pub(crate) fn client_id() -> ClientId {
    ClientId::new("c1").unwrap()
}

/// An item that is told apart by its number.
pub(crate) fn item(stream: u64) -> LeaderItem {
    let payload = SessionPayload::Refused { attempt: stream };
    LeaderItem { stream, payload, gone: Vec::new(), client_id: client_id() }
}

pub(crate) fn status() -> LeaderStatus {
    LeaderStatus {
        label: "leader".into(),
        revision: 7,
        term: Term(1),
        client_id: client_id(),
        backend_id: None,
        local_head: SeqNum::ROOT,
        settled_head: SeqNum::ROOT,
        upstream_head: SeqNum::ROOT,
        generation: RebaseGeneration(0),
        rebases: 0,
        pending_events: 0,
        sessions: [].into(),
        connection: ConnectionStatus::Offline,
        activity: SyncActivity::Off,
        last_error: None,
        limits: Limits::DEFAULT,
    }
}

/// A leader's link that tells the test who attaches, and leaves the rest to it.
#[derive(Debug)]
pub(crate) struct TestLink {
    sessions: mpsc::UnboundedSender<TestSession>,
    /// Every answer takes so long.
    pub(crate) delay: Duration,
    /// What every answer is instead.
    pub(crate) fails: Option<fn() -> LinkError>,
    pub(crate) state: State,
    pub(crate) status: watch::Sender<LeaderStatus>,
    attaches: AtomicU64,
}

/// What a snapshot consists of.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) bytes: Vec<u8>,
    /// What is said to follow.
    pub(crate) len: u64,
    /// Reading fails at the end.
    pub(crate) is_broken: bool,
}

/// An attached session as its leader sees it.
#[derive(Debug)]
pub(crate) struct TestSession {
    pub(crate) attach: Attach,
    pub(crate) items: mpsc::UnboundedSender<LeaderItem>,
    /// Ends when the session is detached.
    pub(crate) messages: mpsc::UnboundedReceiver<SessionMessage>,
}

pub(crate) fn test_link() -> (TestLink, mpsc::UnboundedReceiver<TestSession>) {
    let (sessions, receiver) = mpsc::unbounded_channel();
    let state = State { bytes: b"state".to_vec(), len: 5, is_broken: false };
    let link = TestLink {
        sessions,
        delay: Duration::ZERO,
        fails: None,
        state,
        status: watch::Sender::new(status()),
        attaches: AtomicU64::new(0),
    };
    (link, receiver)
}

impl TestLink {
    async fn answer(&self) -> Result<(), LinkError> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        self.fails.map_or(Ok(()), |error| Err(error()))
    }
}

#[async_trait]
impl LeaderLink for TestLink {
    async fn attach(&self, attach: Attach) -> Result<Attachment, LinkError> {
        self.answer().await?;
        let (items, mut receiver) = mpsc::unbounded_channel();
        let (sender, messages) = mpsc::unbounded_channel();
        self.sessions.send(TestSession { attach, items, messages }).map_err(|_| LinkError::Gone)?;
        let persisted = self.attaches.fetch_add(1, Ordering::Relaxed);
        Ok(Attachment {
            attached: Attached { client_id: client_id(), persisted, gone: Vec::new() },
            items: futures::stream::poll_fn(move |cx| receiver.poll_recv(cx)).boxed(),
            sender: Box::new(TestSender(sender)),
        })
    }

    async fn snapshot(&self, _: &SessionId) -> Result<SessionSnapshot, LinkError> {
        self.answer().await?;
        let State { bytes, len, is_broken } = self.state.clone();
        let end: Box<dyn Read + Send> = if is_broken { Box::new(Broken) } else { Box::new(std::io::empty()) };
        let bytes = Box::new(std::io::Cursor::new(bytes).chain(end));
        Ok(SessionSnapshot {
            snapshot: Snapshot { head: SeqNum::ROOT, len, bytes },
            held: Held { persisted: 3, ..Held::default() },
        })
    }

    async fn sync_now(&self) -> Result<LeaderStatus, LinkError> {
        self.answer().await?;
        Ok(self.status.borrow().clone())
    }

    async fn reports(&self) -> Result<BoxStream<'static, LeaderReport>, LinkError> {
        self.answer().await?;
        let mut status = self.status.subscribe();
        status.mark_changed();
        let next = |mut status: watch::Receiver<LeaderStatus>| async move {
            status.changed().await.ok()?;
            let report = LeaderReport::Status(Box::new(status.borrow_and_update().clone()));
            Some((report, status))
        };
        Ok(futures::stream::unfold(status, next).boxed())
    }
}

#[derive(Debug)]
struct TestSender(mpsc::UnboundedSender<SessionMessage>);

impl SessionSender for TestSender {
    fn send(&self, message: SessionMessage) -> Result<(), LinkError> {
        self.0.send(message).map_err(|_| LinkError::Gone)
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the disk is on fire"))
    }
}

/// As a greeting begins, by the documentation of the protocol.
pub(crate) fn greeting(version: u32, proof: &[u8]) -> Vec<u8> {
    [b"lvstlink", &version.to_le_bytes()[..], proof].concat()
}

/// The greeting of a session that knows the address of the leader in `dir`.
pub(crate) fn good_greeting(dir: &Path) -> Vec<u8> {
    let address = std::fs::read_to_string(dir.join("leader.addr")).unwrap();
    let secret = address.trim_end().rsplit(' ').next().unwrap();
    greeting(PROTOCOL_VERSION, &secret.as_bytes()[..32])
}

/// As a message stands on the wire.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_le_bytes()[..], message].concat()
}
