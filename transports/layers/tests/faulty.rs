//! Each fault does what it says, when it is due.

mod support;

use std::time::Duration;

use futures::StreamExt as _;
use livestore_layers::{Fault, FaultRates, Faulty};
use livestore_traits::{PullError, PullMode, PushError, SyncBackend};
use support::{backend_with, batch, head, pull, pull_all};
use tokio::time::{Instant, timeout};

#[tokio::test(start_paused = true)]
async fn a_push_that_fails_before_it_is_sent_leaves_no_trace() {
    let faulty = Faulty::scripted(backend_with(0).await, [Fault::FailPush, Fault::BusyPush]);
    assert!(matches!(faulty.push(batch(0, 1)).await, Err(PushError::Offline(_))));
    assert!(matches!(faulty.push(batch(0, 1)).await, Err(PushError::Busy(_))));
    assert_eq!(head(faulty.inner()).await, 0);
    assert!(faulty.push(batch(0, 1)).await.is_ok(), "after the script pushes go through");
}

#[tokio::test(start_paused = true)]
async fn a_push_whose_answer_is_lost_is_stored() {
    let faulty = Faulty::scripted(backend_with(0).await, [Fault::LoseAnswer, Fault::LoseAnswer]);
    assert!(matches!(faulty.push(batch(0, 1)).await, Err(PushError::Unacknowledged(_))));
    assert_eq!(head(faulty.inner()).await, 1);
    // A refusal is an answer, too.
    assert!(matches!(faulty.push(batch(9, 1)).await, Err(PushError::Unacknowledged(_))));
    assert_eq!(head(faulty.inner()).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_arrives_twice_is_answered_for_the_second_time() {
    let faulty = Faulty::scripted(backend_with(0).await, [Fault::PushTwice]);
    assert!(faulty.push(batch(0, 1)).await.is_ok());
    assert_eq!(head(faulty.inner()).await, 1);
}

#[tokio::test(start_paused = true)]
async fn delays_take_their_time() {
    let hour = Duration::from_secs(3_600);
    let script = [Fault::DelayPush(hour), Fault::DelayPage { page: 1, by: hour }];
    let faulty = Faulty::scripted(backend_with(0).await, script);
    for after in 0..3 {
        let start = Instant::now();
        faulty.push(batch(after, 1)).await.unwrap();
        assert_eq!(start.elapsed() >= hour, after == 0, "only the first push is late");
    }
    let start = Instant::now();
    let late: Vec<_> = faulty.pull(pull(PullMode::Once)).map(|_| start.elapsed() >= hour).collect().await;
    assert_eq!(late, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_pull_is_cut_after_its_pages_and_then_ends() {
    for after_pages in 0..=3 {
        let faulty = Faulty::scripted(backend_with(3).await, [Fault::CutPull { after_pages }]);
        let mut pages = faulty.pull(pull(PullMode::Live));
        for _ in 0..after_pages {
            assert!(pages.next().await.unwrap().is_ok());
        }
        assert!(matches!(pages.next().await, Some(Err(PullError::Offline(_)))));
        assert!(pages.next().await.is_none());
        assert_eq!(pull_all(&faulty).await.0, [1, 2, 3], "the next pull goes through");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_pull_says_nothing_more() {
    let faulty = Faulty::scripted(backend_with(3).await, [Fault::StallPull { after_pages: 2 }]);
    let mut pages = faulty.pull(pull(PullMode::Once));
    assert_eq!(support::take(&mut pages, 2).await, [1, 2]);
    assert!(timeout(Duration::from_secs(86_400), pages.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn pages_are_repeated_and_skipped() {
    let script =
        [Fault::RepeatPage { page: 1 }, Fault::PassPush, Fault::PassPull, Fault::SkipPage { page: 1 }];
    let faulty = Faulty::scripted(backend_with(3).await, script);
    assert_eq!(pull_all(&faulty).await.0, [1, 2, 2, 3]);
    assert_eq!(pull_all(&faulty).await.0, [1, 2, 3], "the script lets this one pass");
    assert_eq!(pull_all(&faulty).await.0, [1, 3]);
}

/// What 200 pushes of one batch and 50 pulls meet.
async fn fates(seed: u64, rates: FaultRates) -> Vec<String> {
    let faulty = Faulty::seeded(backend_with(3).await, seed, rates);
    let mut fates = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        let answer = faulty.push(batch(2, 1)).await.map(|_| ()).map_err(|error| error.to_string());
        fates.push(format!("{answer:?} after {:?}", start.elapsed()));
    }
    for _ in 0..50 {
        let (seqs, end) = pull_all(&faulty).await;
        fates.push(format!("{seqs:?} {}", end.is_ok()));
    }
    fates
}

#[tokio::test(start_paused = true)]
async fn a_seed_fixes_all_faults() {
    let rates = FaultRates::all(0.1, Duration::from_millis(50));
    let first = fates(7, rates).await;
    assert_eq!(first, fates(7, rates).await);
    assert_ne!(first, fates(8, rates).await);
    // Each kind was met: the rates would be worthless otherwise.
    let met = |what: &str| first.iter().any(|fate| fate.contains(what));
    for what in ["Ok(())", "unreachable", "busy", "not acknowledged", "[1] false"] {
        assert!(met(what), "no {what:?} was met");
    }
    assert!(["1, 1", "2, 2", "3, 3"].iter().any(|repeat| met(repeat)), "no page was repeated");
    assert!(first.iter().any(|fate| fate.starts_with("Ok") && !fate.ends_with("0ns")), "no push was late");
}

#[tokio::test(start_paused = true)]
async fn nothing_fails_without_rates_or_after_healing() {
    assert!(
        fates(7, FaultRates::default())
            .await
            .iter()
            .all(|fate| fate == "Ok(()) after 0ns" || fate == "[1, 2, 3] true")
    );

    let faulty = Faulty::seeded(backend_with(1).await, 7, FaultRates::all(1.0, Duration::ZERO));
    faulty.inject(Fault::LoseAnswer);
    faulty.inject(Fault::CutPull { after_pages: 0 });
    assert!(faulty.push(batch(0, 1)).await.is_err());
    faulty.inject(Fault::FailPush);
    faulty.heal();
    assert!(faulty.push(batch(0, 1)).await.is_ok());
    assert_eq!(pull_all(&faulty).await.0, [1]);
}
