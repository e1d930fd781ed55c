//! Faults that are made on purpose, to see that they are caught.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use livestore_endurance::binaries::Binaries;
use livestore_endurance::ledger::{Ledger, audit};
use livestore_endurance::server::{Server, ServerOptions, connect};
use livestore_endurance::writer::Writer;
use livestore_traits::{
    BoxStream, Capabilities, ConnectionStatus, Cursor, Pull, PullError, PullPage, Push, PushAck, PushError,
    SyncBackend, UnixMillis,
};

const STORE: &str = "notes";

async fn server(dir: &Path) -> Server {
    Server::start(ServerOptions::new(Binaries::built().unwrap(), dir)).await.unwrap()
}

async fn violations(server: &Server, writer: &Writer) -> Vec<String> {
    let backend = connect(&server.url("ws"), STORE).unwrap();
    audit(&*backend, &Ledger::of([writer])).await.unwrap().violations
}

/// Acknowledges one push that it keeps for itself.
#[derive(Debug)]
struct Liar {
    inner: Arc<dyn SyncBackend>,
    pushes_before: AtomicU64,
}

#[async_trait]
impl SyncBackend for Liar {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        if self.pushes_before.fetch_sub(1, Ordering::SeqCst) != 0 {
            return self.inner.push(push).await;
        }
        let cursor = Cursor { after: push.events.last().unwrap().seq, token: None };
        Ok(PushAck::new(push.backend_id.unwrap(), cursor, UnixMillis(0)))
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        self.inner.pull(pull)
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.inner.connection()
    }
}

async fn liar(server: &Server, pushes_before: u64) -> Writer {
    let inner = connect(&server.url("ws"), STORE).unwrap();
    Writer::new("writer", Arc::new(Liar { inner, pushes_before: AtomicU64::new(pushes_before) }), 0)
}

#[tokio::test]
async fn a_push_that_was_acknowledged_and_never_arrived_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).await;
    let mut writer = liar(&server, 3).await;
    for _ in 0..4 {
        writer.write(2).await.unwrap();
    }
    assert!(
        violations(&server, &writer).await.iter().any(|sentence| sentence.contains("acknowledged as e7"))
    );
    // Going on, the writer itself notices.
    assert!(writer.write(1).await.unwrap_err().contains("the head is e6"));
}

#[tokio::test]
async fn data_that_was_set_back_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = server(dir.path()).await;
    let mut writer = Writer::new("writer", connect(&server.url("ws"), STORE).unwrap(), 0);
    writer.write(3).await.unwrap();
    server.terminate().await.unwrap();
    let (file, copy) = (dir.path().join("data/livestore.redb"), dir.path().join("copy"));
    fs::copy(&file, &copy).unwrap();
    server.start_again().await.unwrap();
    writer.write(3).await.unwrap();
    assert_eq!(violations(&server, &writer).await, [""; 0]);

    server.kill().await.unwrap();
    fs::copy(&copy, &file).unwrap();
    server.start_again().await.unwrap();
    assert_eq!(violations(&server, &writer).await.len(), 3, "one for each event that is gone");
    assert!(writer.write(1).await.is_err(), "the writer goes on as if nothing was lost");
}
