//! A push or a pull over a network that fails in each way, on virtual time.

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use livestore_traits::{ConnectionStatus, PullError, PullMode, PushError, SyncBackend};
use livestore_transport_memory::{LinkConfig, MAX_PUSHES_IN_FLIGHT, Network};
use support::{HOUR, backend_with, batch, connect, head, pull, pull_all};
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn messages_take_the_latency_of_the_link_each_way() {
    let backend = backend_with(0).await;
    let transport = connect(&backend, 1, LinkConfig::with_latency(100, 0));
    let start = Instant::now();
    transport.push(batch(0)).await.unwrap();
    assert_eq!(start.elapsed(), 200 * MS);

    let mut pages = pull(&*transport, PullMode::Live);
    assert_eq!(pages.next().await.unwrap().unwrap().through.0, 1);
    assert_eq!(start.elapsed(), 400 * MS);
    backend.push(batch(1)).await.unwrap();
    assert_eq!(pages.next().await.unwrap().unwrap().through.0, 2);
    assert_eq!(start.elapsed(), 500 * MS, "a live page is only sent, not asked for");
}

#[tokio::test(start_paused = true)]
async fn a_partitioned_link_refuses_at_once_and_sends_nothing() {
    let backend = backend_with(1).await;
    let transport = connect(&backend, 1, LinkConfig::default());
    transport.link().partition();
    let start = Instant::now();
    assert!(matches!(transport.push(batch(1)).await, Err(PushError::Offline(_))));
    let (seqs, end) = pull_all(pull(&*transport, PullMode::Once)).await;
    assert!(seqs.is_empty() && matches!(end, Err(PullError::Offline(_))));
    assert_eq!((start.elapsed(), head(&backend).await), (Duration::ZERO, 1));
    assert_eq!(transport.link().stats().sent, 0);

    transport.link().heal();
    assert!(transport.push(batch(1)).await.is_ok());
    assert_eq!(pull_all(pull(&*transport, PullMode::Once)).await.0, [1, 2]);
}

/// Cuts the link while a push is on its way, `after` it was sent over 100 ms; the head that results.
async fn cut_during_push(after: Duration) -> u64 {
    let backend = backend_with(0).await;
    let transport = connect(&backend, 1, LinkConfig::with_latency(100, 0));
    let start = Instant::now();
    let (answer, ()) = futures::join!(transport.push(batch(0)), async {
        sleep(after).await;
        transport.link().partition();
        transport.link().heal();
    });
    assert!(matches!(answer, Err(PushError::Unacknowledged(_))), "{answer:?}");
    assert_eq!(start.elapsed(), after, "a cut is noticed at once");
    sleep(HOUR).await;
    head(&backend).await
}

#[tokio::test(start_paused = true)]
async fn a_cut_leaves_unknown_whether_a_push_is_stored() {
    assert_eq!(cut_during_push(50 * MS).await, 0, "the request was on its way");
    assert_eq!(cut_during_push(150 * MS).await, 1, "the answer was on its way");
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_a_pull_even_if_it_heals_at_once() {
    let backend = backend_with(1).await;
    let transport = connect(&backend, 1, LinkConfig::default());
    let mut pages = pull(&*transport, PullMode::Live);
    assert!(pages.next().await.unwrap().is_ok());
    transport.link().partition();
    transport.link().heal();
    assert!(matches!(pages.next().await, Some(Err(PullError::Offline(_)))));
    assert!(pages.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn silence_shows_only_by_the_timeout() {
    let backend = backend_with(1).await;
    let transport = connect(&backend, 1, LinkConfig::default());
    let mut pages = pull(&*transport, PullMode::Live);
    assert!(pages.next().await.unwrap().is_ok());
    let mut statuses = transport.connection();
    assert_eq!(statuses.next().await, Some(ConnectionStatus::Connected));

    sleep(HOUR).await;
    assert!(pages.next().now_or_never().is_none(), "an idle link is no silent one");

    transport.link().silence();
    let start = Instant::now();
    let (answer, page, status) = futures::join!(transport.push(batch(1)), pages.next(), statuses.next());
    assert!(matches!(answer, Err(PushError::Unacknowledged(_))));
    assert!(matches!(page, Some(Err(PullError::Offline(_)))));
    assert_eq!(status, Some(ConnectionStatus::Connecting));
    assert_eq!(start.elapsed(), LinkConfig::default().timeout);
    assert_eq!(head(&backend).await, 1);

    // A pull that begins in the silence waits for as long.
    let (_, end) = pull_all(pull(&*transport, PullMode::Once)).await;
    assert!(matches!(end, Err(PullError::Offline(_))));
    assert_eq!(start.elapsed(), 2 * LinkConfig::default().timeout);

    transport.link().heal();
    assert_eq!(statuses.next().await, Some(ConnectionStatus::Connected));
    assert!(transport.push(batch(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_short_silence_breaks_only_what_it_swallowed() {
    let backend = backend_with(1).await;
    let transport = connect(&backend, 1, LinkConfig::default());
    let mut pages = pull(&*transport, PullMode::Live);
    assert!(pages.next().await.unwrap().is_ok());

    transport.link().silence();
    assert!(timeout(5_000 * MS, pages.next()).await.is_err());
    transport.link().heal();
    backend.push(batch(1)).await.unwrap();
    assert_eq!(pages.next().await.unwrap().unwrap().through.0, 2, "nothing was missed");

    transport.link().silence();
    backend.push(batch(2)).await.unwrap();
    assert!(timeout(5_000 * MS, pages.next()).await.is_err());
    transport.link().heal();
    backend.push(batch(3)).await.unwrap();
    assert!(
        matches!(pages.next().await, Some(Err(PullError::Offline(_)))),
        "e3 was swallowed, so e4 must not show"
    );
}

#[tokio::test(start_paused = true)]
async fn a_link_that_loses_answers_lets_pushes_take_effect() {
    let backend = backend_with(0).await;
    let transport = connect(&backend, 1, LinkConfig::default());
    transport.link().lose_answers();
    assert!(matches!(transport.push(batch(0)).await, Err(PushError::Unacknowledged(_))));
    assert_eq!(head(&backend).await, 1);
    let (seqs, end) = pull_all(pull(&*transport, PullMode::Once)).await;
    assert!(seqs.is_empty() && matches!(end, Err(PullError::Offline(_))));
}

#[tokio::test(start_paused = true)]
async fn statuses_tell_a_partition_at_once_and_each_change_once() {
    let transport = connect(&backend_with(0).await, 1, LinkConfig::default());
    let mut statuses = transport.connection();
    assert_eq!(statuses.next().await, Some(ConnectionStatus::Connected));
    transport.link().partition();
    assert_eq!(statuses.next().await, Some(ConnectionStatus::Offline));
    assert!(timeout(HOUR, statuses.next()).await.is_err());
    transport.link().heal();
    assert_eq!(statuses.next().await, Some(ConnectionStatus::Connected));
    transport.link().lose_answers();
    assert!(timeout(9_000 * MS, statuses.next()).await.is_err());
    transport.link().heal();
    assert!(timeout(HOUR, statuses.next()).await.is_err(), "the silence was too short to be noticed");
}

#[tokio::test(start_paused = true)]
async fn a_lost_message_costs_the_timeout() {
    let backend = backend_with(3).await;
    let transport = connect(&backend, 1, LinkConfig { loss: 1.0, ..LinkConfig::default() });
    let start = Instant::now();
    assert!(matches!(transport.push(batch(3)).await, Err(PushError::Unacknowledged(_))));
    let (seqs, end) = pull_all(pull(&*transport, PullMode::Once)).await;
    assert!(seqs.is_empty() && matches!(end, Err(PullError::Offline(_))));
    assert_eq!(start.elapsed(), 2 * LinkConfig::default().timeout);
    let stats = transport.link().stats();
    assert_eq!((stats.sent, stats.lost), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_pull_shows_a_prefix_of_the_log_whatever_the_network_does() {
    let config = LinkConfig { loss: 0.1, duplicate: 0.3, reorder: 0.3, ..LinkConfig::with_latency(20, 50) };
    let (mut whole, mut broken) = (0, 0);
    for seed in 0..40 {
        let transport = connect(&backend_with(10).await, seed, config);
        let (seqs, end) = pull_all(pull(&*transport, PullMode::Once)).await;
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "seed {seed}");
        match end {
            Ok(()) => whole += 1,
            Err(error) => {
                assert!(matches!(error, PullError::Offline(_)), "seed {seed}: {error}");
                broken += 1;
            }
        }
    }
    assert!(whole > 0 && broken > 0, "{whole} pulls came through and {broken} broke");
}

#[tokio::test(start_paused = true)]
async fn duplicates_of_pushes_and_pages_change_nothing() {
    let backend = backend_with(0).await;
    let transport = connect(&backend, 1, LinkConfig { duplicate: 1.0, ..LinkConfig::with_latency(5, 50) });
    for after in 0..10 {
        assert_eq!(transport.push(batch(after)).await.unwrap().cursor.after.0, after + 1);
    }
    assert_eq!(pull_all(pull(&*transport, PullMode::Once)).await.0, (1..=10).collect::<Vec<_>>());
    let stats = transport.link().stats();
    assert_eq!((stats.lost, stats.sent), (0, stats.duplicated));
}

/// Two pushes that follow each other, sent in order at once: whether the second one was overtaken by the first.
async fn is_in_order(seed: u64, config: LinkConfig) -> bool {
    let transport = connect(&backend_with(0).await, seed, config);
    let (first, second) = futures::join!(transport.push(batch(0)), transport.push(batch(1)));
    assert!(first.is_ok());
    second.is_ok()
}

#[tokio::test(start_paused = true)]
async fn requests_overtake_each_other() {
    for config in [
        LinkConfig::with_latency(10, 20),
        LinkConfig { reorder: 0.5, ..LinkConfig::with_latency(10, 0) },
        LinkConfig { reorder: 0.5, ..LinkConfig::default() },
    ] {
        let mut in_order = 0;
        for seed in 0..40 {
            in_order += u32::from(is_in_order(seed, config).await);
        }
        assert!((5..=35).contains(&in_order), "{in_order} of 40 stayed in order with {config:?}");
    }
    assert!(is_in_order(1, LinkConfig::with_latency(10, 0)).await, "without jitter nothing overtakes");
}

#[tokio::test(start_paused = true)]
async fn a_push_goes_its_way_without_its_caller() {
    let backend = backend_with(0).await;
    let transport = connect(&backend, 1, LinkConfig::with_latency(100, 0));
    assert!(timeout(MS, transport.push(batch(0))).await.is_err());
    assert_eq!(head(&backend).await, 0);
    sleep(HOUR).await;
    assert_eq!(head(&backend).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_may_arrive_after_its_sender_gave_up() {
    let backend = backend_with(0).await;
    let slow = LinkConfig { timeout: 50 * MS, ..LinkConfig::with_latency(100, 0) };
    let transport = connect(&backend, 1, slow);
    assert!(matches!(transport.push(batch(0)).await, Err(PushError::Unacknowledged(_))));
    assert_eq!(head(&backend).await, 0);
    sleep(HOUR).await;
    assert_eq!(head(&backend).await, 1);
}

#[tokio::test(start_paused = true)]
async fn pushes_in_flight_are_bounded() {
    let slow = LinkConfig { latency: HOUR, timeout: 3 * HOUR, ..LinkConfig::default() };
    let transport = connect(&backend_with(0).await, 1, slow);
    let pushes: Vec<_> = (0..=MAX_PUSHES_IN_FLIGHT)
        .map(|_| {
            let transport = Arc::clone(&transport);
            tokio::spawn(async move { transport.push(batch(0)).await })
        })
        .collect();
    sleep(MS).await;
    assert_eq!(transport.link().stats().sent, MAX_PUSHES_IN_FLIGHT as u64);
    transport.link().partition();
    let answers = futures::future::join_all(pushes).await;
    let (offline, sent): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .map(Result::unwrap)
        .partition(|answer| matches!(answer, Err(PushError::Offline(_))));
    assert_eq!((offline.len(), sent.len()), (1, MAX_PUSHES_IN_FLIGHT));
    assert!(sent.iter().all(|answer| matches!(answer, Err(PushError::Unacknowledged(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_few_pages() {
    let transport = connect(&backend_with(100).await, 1, LinkConfig::default());
    let mut pages = pull(&*transport, PullMode::Once);
    assert!(pages.next().await.unwrap().is_ok());
    sleep(HOUR).await;
    let sent = transport.link().stats().sent;
    assert!(sent <= 10, "{sent} messages were sent to a reader of one page");
    assert_eq!(pull_all(pages).await.0, (2..=100).collect::<Vec<_>>());
}

/// What a client sees on a bad network, and when.
async fn transcript(seed: u64) -> Vec<String> {
    let config = LinkConfig { loss: 0.1, duplicate: 0.1, reorder: 0.1, ..LinkConfig::with_latency(20, 30) };
    let transport = connect(&backend_with(0).await, seed, config);
    let start = Instant::now();
    let mut seen = Vec::new();
    for after in 0..20 {
        let answer = transport.push(batch(after)).await.map(|ack| ack.cursor.after);
        seen.push(format!("{:?} {answer:?}", start.elapsed()));
        let (seqs, end) = pull_all(pull(&*transport, PullMode::Once)).await;
        seen.push(format!("{:?} {seqs:?} {end:?}", start.elapsed()));
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_seed_fixes_what_happens_and_when() {
    let first = transcript(1).await;
    assert_eq!(first, transcript(1).await);
    assert_ne!(first, transcript(2).await);
}

#[tokio::test(start_paused = true)]
async fn links_are_independent_and_reached_by_name() {
    let backend = Arc::new(backend_with(1).await);
    let network = Network::new(1);
    let alice = network.connect(backend.clone(), "alice");
    let bob = network.connect(backend.clone(), "bob");
    network.link("alice").unwrap().partition();
    assert!(alice.push(batch(1)).await.is_err());
    assert!(bob.push(batch(1)).await.is_ok());

    network.partition();
    assert!(bob.push(batch(2)).await.is_err());
    network.heal();
    assert!(alice.push(batch(2)).await.is_ok());

    network.configure(LinkConfig { loss: 1.0, ..LinkConfig::default() });
    let carol = network.connect(backend, "carol");
    for transport in [&alice, &bob, &carol] {
        assert!(matches!(transport.push(batch(3)).await, Err(PushError::Unacknowledged(_))));
    }
    drop(bob);
    let _dave = network.connect(Arc::new(backend_with(0).await), "dave");
    assert!(network.link("bob").is_none(), "links go with their transports");
}
