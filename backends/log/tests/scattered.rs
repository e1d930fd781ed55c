//! Small pushes to many stores share commits, and storages may keep them elsewhere than the rest of their logs for a
//! while: no reader must notice, whenever it comes and whatever was pushed between.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use livestore_backend_log::LogConfig;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_backend_sqlite::{SqliteBackends, SqliteConfig};
use livestore_conformance::backend::sample_events;
use livestore_traits::{
    BackendProvider, Cursor, GlobalSeq, Limits, Pull, PullMode, Push, StoreId, SyncBackend,
};
use tempfile::TempDir;

const STORES: usize = 16;
const ROUNDS: usize = 150;

/// Nothing is answered from memory but the last batch, and pages are short.
fn config() -> LogConfig {
    let limits = Limits { max_batch_events: 30, ..Limits::DEFAULT };
    LogConfig { limits, tail_bytes: 0, ..LogConfig::default() }
}

async fn stores(provider: &dyn BackendProvider) -> Vec<Arc<dyn SyncBackend>> {
    let ids = (0..STORES).map(|n| StoreId::new(format!("store-{n}")).unwrap());
    join_all(ids.map(async |id| provider.open(&id).await.unwrap())).await
}

async fn push(backend: &dyn SyncBackend, head: &mut u64, count: usize) {
    let parent = GlobalSeq(*head);
    let events = sample_events("client", parent, count);
    backend.push(Push::new(None, parent, None, events)).await.unwrap();
    *head += count as u64;
}

/// Whether a pull from anywhere gets every number once, and every cursor on the way is known.
async fn check(backend: &dyn SyncBackend, head: u64) {
    let mut cursor = Cursor::start();
    let mut pages = backend.pull(Pull::new(None, cursor.clone(), PullMode::Once));
    let mut next = 1;
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        for event in page.events.iter() {
            assert_eq!(event.seq, GlobalSeq(next));
            next += 1;
        }
        // Each page again, by the cursor of the one before.
        let again = backend.pull(Pull::new(None, cursor, PullMode::Once)).next().await.unwrap().unwrap();
        assert_eq!(again.events, page.events);
        cursor = page.cursor;
    }
    assert_eq!(next, head + 1);
}

async fn pushes_and_reads_alternate<P: BackendProvider>(open: impl Fn() -> P) {
    let mut provider = open();
    let mut backends = stores(&provider).await;
    let mut heads = [0; STORES];
    for round in 0..ROUNDS {
        // Together, so that they share commits; some are large.
        let pushes = backends.iter().zip(&mut heads).enumerate();
        join_all(
            pushes
                .map(|(n, (backend, head))| push(&**backend, head, if n == round % STORES { 30 } else { 3 })),
        )
        .await;
        push(&*backends[round % STORES], &mut heads[round % STORES], 1).await;
        if round % 20 == 7 {
            drop(backends);
            drop(provider);
            provider = open();
            backends = stores(&provider).await;
        }
        if round % 5 == 0 || round == ROUNDS - 1 {
            join_all(backends.iter().zip(heads).map(|(backend, head)| check(&**backend, head))).await;
        }
    }
}

#[tokio::test]
async fn redb_reads_whole_logs() {
    let dir = TempDir::new().unwrap();
    pushes_and_reads_alternate(|| {
        RedbBackends::open(dir.path(), RedbConfig { log: config(), ..RedbConfig::default() }).unwrap()
    })
    .await;
}

#[tokio::test]
async fn sqlite_reads_whole_logs() {
    let dir = TempDir::new().unwrap();
    pushes_and_reads_alternate(|| {
        SqliteBackends::open(dir.path(), SqliteConfig { log: config(), ..SqliteConfig::default() }).unwrap()
    })
    .await;
}
