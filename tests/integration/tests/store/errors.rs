//! A backend that fails in all kinds of ways, then recovers.

use std::sync::atomic::{AtomicUsize, Ordering};

use livestore_backend_memory::MemoryBackend;
use livestore_integration::{line, read};
use livestore_traits::{PullError, PushError};

use crate::support::{Tampered, client};

fn push_error(kind: usize) -> PushError {
    match kind {
        0 => PushError::Busy("too many stores".into()),
        1 => PushError::Unauthorized("the token is old".into()),
        2 => PushError::Backend { backend: "test", source: "the disk is full".into() },
        3 => PushError::Unacknowledged("the connection broke".into()),
        _ => PushError::Offline("no network".into()),
    }
}

fn pull_error(kind: usize) -> PullError {
    match kind {
        0 => PullError::Unauthorized("the token is old".into()),
        1 => PullError::Backend { backend: "test", source: "the disk is full".into() },
        _ => PullError::Offline("no network".into()),
    }
}

#[tokio::test]
async fn clients_converge_once_it_is_over() {
    let backend = MemoryBackend::new();
    for kind in 0..5 {
        let (pushes, pulls) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let failing = Tampered::new(backend.clone())
            .on_push(move |_| match pushes.fetch_add(1, Ordering::Relaxed) {
                0..3 => Err(push_error(kind)),
                _ => Ok(()),
            })
            .on_pull(move |_| match pulls.fetch_add(1, Ordering::Relaxed) {
                0..3 => Err(pull_error(kind % 3)),
                _ => Ok(()),
            });
        let store = client(failing).await;
        let receipt = store.commit([line(format!("{kind}"))]).unwrap();
        assert_eq!(receipt.confirmed().await.unwrap().global.0, kind as u64 + 1);
        let status = store.synced().await.unwrap();
        assert_eq!(status.last_error, None, "an error that is over is still told");
        assert_eq!(read(&store).lines.len(), kind + 1);
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_while_it_lasts() {
    for kind in 0..5 {
        let failing = Tampered::new(MemoryBackend::new()).on_push(move |_| Err(push_error(kind)));
        let store = client(failing).await;
        store.commit([line("stuck")]).unwrap();
        let is_told = |told: &Option<String>| {
            told.as_ref().is_some_and(|told| {
                told.contains(match kind {
                    0 => "too many stores",
                    1 => "the token is old",
                    2 => "the disk is full",
                    3 => "the connection broke",
                    _ => "no network",
                })
            })
        };
        store.watch_status().wait_for(|status| is_told(&status.last_error)).await.unwrap();
    }
}
