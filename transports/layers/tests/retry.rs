//! What passes is hidden, what stays is told, and nothing is repeated, lost or done twice.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use livestore_backend_memory::MemoryBackend;
use livestore_layers::{Fault, FaultRates, Faulty, Retry, RetryConfig};
use livestore_traits::{PullError, PullMode, PushError, SyncBackend};
use support::{Breaking, backend_with, batch, config, head, pull, pull_all, take};
use tokio::time::Instant;

async fn retry_over(
    events: u64,
    script: impl IntoIterator<Item = Fault>,
) -> (Retry<Faulty<MemoryBackend>>, MemoryBackend) {
    let backend = backend_with(events).await;
    (Retry::new(Faulty::scripted(backend.clone(), script), RetryConfig::new(1)), backend)
}

#[tokio::test(start_paused = true)]
async fn a_push_outlasts_faults_that_pass_and_is_stored_once() {
    let script = [Fault::FailPush, Fault::BusyPush, Fault::LoseAnswer, Fault::LoseAnswer];
    let (retry, backend) = retry_over(0, script).await;
    let ack = retry.push(batch(0, 1)).await.unwrap();
    assert_eq!(ack.cursor.after.0, 1);
    assert_eq!(head(&backend).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_gives_up_says_whether_it_may_be_stored() {
    let (retry, backend) = retry_over(0, [Fault::FailPush; 5]).await;
    let start = Instant::now();
    assert!(matches!(retry.push(batch(0, 1)).await, Err(PushError::Offline(_))));
    // Four waits, each in the upper half of 100, 200, 400 and 800 ms.
    assert!((750..=1_504).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert_eq!(head(&backend).await, 0);

    // The last attempts surely did nothing, but the first one did.
    let script = [Fault::LoseAnswer, Fault::FailPush, Fault::FailPush, Fault::FailPush, Fault::BusyPush];
    let (retry, backend) = retry_over(0, script).await;
    assert!(matches!(retry.push(batch(0, 1)).await, Err(PushError::Unacknowledged(_))));
    assert_eq!(head(&backend).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_passes_at_once() {
    let (retry, _) = retry_over(2, []).await;
    let start = Instant::now();
    assert!(retry.push(batch(1, 1)).await.is_ok(), "a repeat of what stands there is no refusal");
    let mut foreign = batch(1, 1);
    foreign.events[0].args = livestore_traits::Args::null();
    let refused = retry.push(foreign).await;
    assert!(matches!(&refused, Err(PushError::UpstreamAhead { head, .. }) if head.0 == 2), "{refused:?}");
    assert!(matches!(retry.push(batch(2, 0)).await, Err(PushError::Invalid(_))));
    assert_eq!(start.elapsed(), Duration::ZERO, "nothing was tried again");
}

#[tokio::test(start_paused = true)]
async fn a_pull_goes_on_where_it_broke() {
    let script =
        [Fault::CutPull { after_pages: 0 }, Fault::CutPull { after_pages: 2 }, Fault::RepeatPage { page: 0 }];
    let (retry, _) = retry_over(5, script).await;
    let (seqs, end) = pull_all(&retry).await;
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    assert!(end.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_ends_repeats_no_empty_page() {
    for fault in [Fault::RepeatPage { page: 0 }, Fault::CutPull { after_pages: 1 }] {
        let (retry, _) = retry_over(0, [fault]).await;
        assert_eq!(retry.pull(pull(PullMode::Once)).count().await, 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_missing_is_pulled_again() {
    for page in 0..4 {
        let (retry, _) = retry_over(5, [Fault::SkipPage { page }]).await;
        assert_eq!(pull_all(&retry).await.0, [1, 2, 3, 4, 5]);
    }
    // The last one is missed because the pull ended without reaching the head.
    let (retry, _) = retry_over(5, [Fault::SkipPage { page: 4 }]).await;
    assert_eq!(pull_all(&retry).await.0, [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_live_pull_survives_breaks_while_it_waits() {
    let (retry, backend) =
        retry_over(2, [Fault::CutPull { after_pages: 2 }, Fault::CutPull { after_pages: 1 }]).await;
    let mut pages = retry.pull(pull(PullMode::Live));
    assert_eq!(take(&mut pages, 2).await, [1, 2]);
    backend.push(batch(2, 1)).await.unwrap();
    assert_eq!(take(&mut pages, 1).await, [3]);
    backend.push(batch(3, 1)).await.unwrap();
    assert_eq!(take(&mut pages, 1).await, [4]);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_breaks_over_and_over_is_given_up() {
    let breaking = Arc::new(Breaking::new(backend_with(1).await, Duration::from_millis(1)));
    let retry = Retry::new(Arc::clone(&breaking), RetryConfig::new(1));
    let items: Vec<_> = retry.pull(pull(PullMode::Live)).collect().await;
    assert!(matches!(items.last(), Some(Err(PullError::Offline(_)))));
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);
    // The event that the first pull brought was a success, the empty pages of the others were none.
    assert_eq!(breaking.pulls.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_lasts_is_reopened_for_ever() {
    let breaking = Arc::new(Breaking::new(backend_with(0).await, Duration::from_secs(60)));
    let retry = Retry::new(Arc::clone(&breaking), RetryConfig::new(1));
    let mut pages = retry.pull(pull(PullMode::Live));
    while breaking.pulls.load(Ordering::Relaxed) < 50 {
        assert!(pages.next().await.unwrap().unwrap().events.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_was_replaced_between_two_pulls_is_noticed() {
    let breaking = Arc::new(Breaking::new(backend_with(2).await, Duration::from_secs(1)));
    let retry = Retry::new(Arc::clone(&breaking), RetryConfig::new(1));
    let mut pages = retry.pull(pull(PullMode::Live));
    assert_eq!(take(&mut pages, 2).await, [1, 2]);
    *breaking.backend.lock().unwrap() = backend_with(3).await;
    assert!(matches!(pages.next().await, Some(Err(PullError::Diverged(_)))));
    assert!(pages.next().await.is_none());
}

/// Pushes and a live pull over a backend that fails at random: each event arrives once and in order.
#[tokio::test(start_paused = true)]
async fn chance_loses_nothing_and_repeats_nothing() {
    for seed in 0..50 {
        let backend = backend_with(0).await;
        let faulty = Faulty::seeded(backend, seed, FaultRates::all(0.1, Duration::from_millis(30)));
        let retry = Retry::new(faulty, config(seed, 100));
        let mut pages = retry.pull(pull(PullMode::Live));
        let push = async {
            for after in 0..40 {
                retry.push(batch(after, 1)).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            }
        };
        let (seqs, ()) = futures::join!(take(&mut pages, 40), push);
        assert_eq!(seqs, (1..=40).collect::<Vec<_>>(), "seed {seed}");
    }
}
