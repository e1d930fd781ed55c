//! Reports: the status as it changes, and whether anything is heard at all.

use std::sync::Arc;

use futures::StreamExt as _;
use livestore_traits::{LeaderReport, Rendezvous as _};
use livestore_transport_local::LocalRendezvous;

use crate::support::{config, soon, status, test_link};

/// The present status comes first, then the last of each burst of changes, and the end when the leader is gone.
#[tokio::test]
async fn the_status_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (link, _sessions) = test_link();
    let link = Arc::new(link);
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let open = rendezvous.open(link.clone()).await.unwrap();
    let mut reports = soon(rendezvous.connect().reports()).await.unwrap();
    let first = soon(reports.next()).await.unwrap();
    assert_eq!(first, LeaderReport::Status(Box::new(status())));
    for pending in 1..=1000 {
        link.status.send_modify(|status| status.pending_events = pending);
    }
    let mut received = 0;
    soon(async {
        while let Some(LeaderReport::Status(status)) = reports.next().await {
            received += 1;
            if status.pending_events == 1000 {
                break;
            }
        }
    })
    .await;
    assert!(received <= 2, "a burst was reported {received} times");
    drop(open);
    assert_eq!(soon(reports.next()).await, None);
}

/// As long as the leader is there, nothing is said of silence, however long nothing happens.
#[tokio::test(start_paused = true)]
async fn a_leader_without_news_is_not_silent() {
    let dir = tempfile::tempdir().unwrap();
    let (link, _sessions) = test_link();
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let mut reports = rendezvous.connect().reports().await.unwrap();
    assert!(reports.next().await.is_some());
    let hour = std::time::Duration::from_secs(3600);
    assert!(tokio::time::timeout(hour, reports.next()).await.is_err());
}

/// Whoever gives up on reports frees what they took.
#[tokio::test]
async fn reports_that_are_dropped_take_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let (link, _sessions) = test_link();
    let mut limited = config();
    limited.max_connections = 3;
    let rendezvous = LocalRendezvous::new(dir.path(), limited);
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let link = rendezvous.connect();
    for _ in 0..50 {
        soon(async {
            // What was dropped before is noticed soon, not at once.
            while link.reports().await.is_err() {}
        })
        .await;
    }
}
