//! Every backend and every wire, with eight clients at once.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use livestore_linearizability::checker::{DEFAULT_LIMIT, Verdict, check};
use livestore_linearizability::clients::{Mix, history};
use livestore_linearizability::log::{Explained, Log, Tally};
use livestore_linearizability::target::{Kind, Target};

async fn all_are_linearizable(kind: Kind, histories: u64) {
    let target = Target::start(kind).await.unwrap();
    let mut tally = Tally::default();
    for seed in 0..histories {
        let history = history(&target, seed, &Mix::default()).await.unwrap();
        let verdict = check::<Log>(&history, DEFAULT_LIMIT);
        let explained = Explained { history: &history, verdict: &verdict };
        assert_eq!(verdict, Verdict::Linearizable, "{kind}, seed {seed}: {explained}");
        tally.count(&history);
    }
    println!("{kind}: {tally}");
    let Tally { accepted, refused, lost, pages } = tally;
    assert!(accepted > 50 && refused > 50 && lost > 10 && pages > 100, "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    all_are_linearizable(Kind::Memory, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redb() {
    all_are_linearizable(Kind::Redb, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    all_are_linearizable(Kind::Sqlite, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_over_the_native_websocket() {
    all_are_linearizable(Kind::Ws, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_over_native_http() {
    all_are_linearizable(Kind::Http, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_over_livestores_websocket() {
    all_are_linearizable(Kind::Livestore, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_over_livestores_http() {
    all_are_linearizable(Kind::LivestoreHttp, 4).await;
}
