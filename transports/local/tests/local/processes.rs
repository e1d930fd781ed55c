//! Leaders that are processes of their own: killed, stopped, and gone on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::StreamExt as _;
use livestore_engine::Store;
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{line, notebook};
use livestore_traits::{
    Attachment, LeaderReport, LinkError, Rendezvous as _, SessionMessage, SessionPayload,
};
use livestore_transport_local::LocalRendezvous;

use crate::support::{attach, config, soon};

/// Tells [`leader`] and [`session`] where to meet; without it those tests do nothing.
const VARIABLE: &str = "LIVESTORE_TEST_LEAD_IN";

/// Not a case: the process that the cases below start. It leads until it is killed.
#[tokio::test]
async fn leader() {
    let Some(dir) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    let store: Store = notebook(&MemoryStorage::default()).start().await.unwrap();
    let mut config = config();
    config.heartbeat_interval = Duration::from_millis(50);
    let _open = LocalRendezvous::new(dir, config).open(store.link()).await.unwrap();
    until_the_test_ends().await;
}

/// Not a case: a process with a session that takes nothing.
#[tokio::test]
async fn session() {
    let Some(dir) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    let _session = attached(&dir, "child").await;
    until_the_test_ends().await;
}

/// Also if it fails.
async fn until_the_test_ends() {
    std::io::stderr().write_all(b"ready\n").unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await.unwrap();
}

struct Process(Child);

impl Process {
    fn start(case: &str, dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([&format!("processes::{case}"), "--exact", "--nocapture"])
            .env(VARIABLE, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().next();
        assert_eq!(said.unwrap().unwrap(), "ready");
        Self(child)
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither matters if it was killed before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A session that is attached and has had its first item.
async fn attached(dir: &Path, session: &str) -> Attachment {
    let link = LocalRendezvous::new(dir, config()).connect();
    let mut attachment = soon(link.attach(attach(session))).await.unwrap();
    assert!(soon(attachment.items.next()).await.is_some());
    attachment
}

/// Sessions notice at once when their leader is killed, and the same link leads to the next one.
#[tokio::test]
async fn a_killed_leader_is_gone_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let link = LocalRendezvous::new(dir.path(), config()).connect();
    for _ in 0..3 {
        let leader = Process::start("leader", dir.path());
        let mut sessions = Vec::new();
        for n in 0..5 {
            sessions.push(attached(dir.path(), &format!("s{n}")).await);
        }
        let mut reports = soon(link.reports()).await.unwrap();
        let LeaderReport::Status(status) = soon(reports.next()).await.unwrap() else { panic!("silent") };
        assert_eq!(status.sessions.len(), 6, "the sessions here and its own");
        leader.kill();
        for session in &mut sessions {
            assert_eq!(soon(session.items.next()).await, None);
            assert!(matches!(session.sender.send(SessionMessage::Taken), Err(LinkError::Gone)));
        }
        assert_eq!(soon(async { reports.by_ref().collect::<Vec<_>>().await.len() }).await, 0);
        assert!(matches!(soon(link.attach(attach("s1"))).await, Err(LinkError::Gone)));
        assert!(matches!(soon(link.snapshot(&attach("s1").session_id)).await, Err(LinkError::Gone)));
    }
}

/// A stopped leader is reported, nothing waits for it for ever, and everything goes on when it does.
#[tokio::test]
async fn a_stopped_leader_is_silent_until_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let leader = Process::start("leader", dir.path());
    let session = attached(dir.path(), "s1").await;
    let mut hasty = config();
    hasty.silence_after = Duration::from_millis(500);
    hasty.answer_timeout = Duration::from_millis(200);
    let hasty = LocalRendezvous::new(dir.path(), hasty).connect();
    let patient = LocalRendezvous::new(dir.path(), config()).connect();
    // A slow machine is no reason to fail.
    let mut reports = soon(async {
        loop {
            match hasty.reports().await {
                Ok(reports) => return reports,
                Err(error) => assert!(matches!(error, LinkError::Link(_)), "{error}"),
            }
        }
    })
    .await;
    assert!(matches!(soon(reports.next()).await, Some(LeaderReport::Status(_))));

    leader.signal("-STOP");
    soon(async { while !matches!(reports.next().await, Some(LeaderReport::Silent)) {} }).await;
    for error in [
        soon(hasty.attach(attach("s2"))).await.unwrap_err(),
        soon(hasty.snapshot(&attach("s2").session_id)).await.unwrap_err(),
        soon(hasty.sync_now()).await.unwrap_err(),
    ] {
        assert!(matches!(error, LinkError::Link(_)), "{error}");
    }
    session.sender.send(SessionMessage::Taken).unwrap();

    leader.signal("-CONT");
    soon(async { while !matches!(reports.next().await, Some(LeaderReport::Status(_))) {} }).await;
    assert!(soon(patient.sync_now()).await.is_ok());
    drop(attached(dir.path(), "s2").await);
    session.sender.send(SessionMessage::Taken).unwrap();
}

/// A session's process that is stopped holds nobody up, and what it missed waits for it; a killed one is detached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_stopped_or_killed_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store: Store = notebook(&MemoryStorage::default()).start().await.unwrap();
    let _open = LocalRendezvous::new(dir.path(), config()).open(store.link()).await.unwrap();
    let session = Process::start("session", dir.path());
    let mut status = store.watch_status();
    soon(status.wait_for(|status| status.sessions.len() == 2)).await;
    session.signal("-STOP");
    let mut other = attached(dir.path(), "other").await;
    for n in 0..1000 {
        soon(store.commit([line(format!("{n}"))]).unwrap().persisted()).await.unwrap();
    }
    soon(async {
        let mut events = 0;
        while events < 1000 {
            let item = other.items.next().await.unwrap();
            other.sender.send(SessionMessage::Taken).unwrap();
            if let SessionPayload::Advance { events: more, .. } = item.payload {
                events += more.len();
            }
        }
    })
    .await;
    session.kill();
    drop(other);
    soon(status.wait_for(|status| status.sessions.len() == 1)).await;
}
