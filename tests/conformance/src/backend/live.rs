//! Cases: following a log while it grows.

use std::time::Duration;

use futures::{StreamExt, poll};
use livestore_traits::{Cursor, GlobalSeq, PullMode, SyncedEvent};

use super::BackendFixture;
use super::client::Client;

/// A follower gets what is there, then what comes, its own client's pushes included.
///
/// Verifies: catch-up first, then live; strictly ascending, no gap, no repeat.
pub async fn a_follower_catches_up_and_then_follows<F: BackendFixture>(fixture: &F) {
    let (store, client) = Client::of_new_store(fixture).await;
    let other = Client::connect(fixture, &store, "other").await;
    let size = client.capabilities().limits.max_batch_events * 3 / 2;
    client.fill(GlobalSeq::ROOT, size).await;
    let mut follower = client.follow(Cursor::start());
    let mut seen = follower.read_to(GlobalSeq(size as u64)).await;
    for pusher in [&client, &other, &client] {
        let events = pusher.events(follower.cursor.after, 2);
        pusher.push(events).await.unwrap();
        seen.extend(follower.read_to(GlobalSeq(seen.len() as u64 + 2)).await);
    }
    assert_eq!(seen, client.log().await);
}

/// Followers that begin at any time while others push see every event once, in order.
///
/// Verifies: no gap and no repeat where catch-up and live meet.
pub async fn a_follower_misses_nothing_while_pushes_race<F: BackendFixture>(fixture: &F) {
    const BATCHES: u64 = 60;
    const LAST: GlobalSeq = GlobalSeq(BATCHES * 3);
    let (store, client) = Client::of_new_store(fixture).await;
    let pusher = client.clone();
    let pushes = tokio::spawn(async move {
        for batch in 0..BATCHES {
            pusher.push(pusher.events(GlobalSeq(batch * 3), 3)).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut followers = Vec::new();
    for number in 0..6 {
        let reader = Client::connect(fixture, &store, "reader").await;
        followers.push(tokio::spawn(async move {
            // From the middle of what is there at this moment, so that some begin behind and some at the head.
            let there = reader.log().await.len() as u64;
            let after = GlobalSeq(there * number / 6);
            let mut follower = reader.follow(Cursor { after, token: None });
            (after, follower.read_to(LAST).await)
        }));
    }
    pushes.await.unwrap();
    let log = client.log().await;
    for follower in followers {
        let (after, seen) = follower.await.unwrap();
        assert_eq!(seen, log[after.0 as usize..], "after {after}");
    }
}

/// Several followers of one store, by one handle and by many, all see the same.
///
/// Verifies: a subscriber follows by its own cursor.
pub async fn several_followers_see_the_same<F: BackendFixture>(fixture: &F) {
    let (store, client) = Client::of_new_store(fixture).await;
    let mut followers = Vec::new();
    for _ in 0..5 {
        followers.push(client.follow(Cursor::start()));
        followers.push(Client::connect(fixture, &store, "other").await.follow(Cursor::start()));
    }
    for batch in 0..5 {
        client.push(client.events(GlobalSeq(batch * 2), 2)).await.unwrap();
    }
    let log = client.log().await;
    for follower in &mut followers {
        assert_eq!(follower.read_to(GlobalSeq(10)).await, log);
    }
}

/// A follower that hears nothing for a long time gets what comes then. On virtual time the wait is an hour.
///
/// Verifies: a live pull never ends by itself.
pub async fn a_follower_waits_through_an_idle_hour<F: BackendFixture>(fixture: &F) {
    if !fixture.runs_on_virtual_time() {
        let (_store, client) = Client::of_new_store(fixture).await;
        return follow_across(&client, Duration::from_millis(50)).await;
    }
    // A runtime of its own: the limit around each case would be reached in an instant of virtual time.
    let on_virtual_time = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime can be built");
        runtime.block_on(async {
            let (_store, client) = Client::of_new_store(fixture).await;
            follow_across(&client, Duration::from_secs(3600)).await;
        });
    };
    std::thread::scope(|scope| scope.spawn(on_virtual_time).join().expect("the case passes on virtual time"));
}

async fn follow_across(client: &Client, idle: Duration) {
    client.fill(GlobalSeq::ROOT, 1).await;
    let mut follower = client.follow(Cursor::start());
    follower.read_to(GlobalSeq(1)).await;
    let waited = tokio::time::timeout(idle, follower.next()).await;
    assert!(waited.is_err(), "a page came though nothing was pushed");
    client.push(client.events(GlobalSeq(1), 1)).await.unwrap();
    assert_eq!(follower.read_to(GlobalSeq(2)).await.len(), 1);
}

/// Pulls that are dropped before, between and after their pages leave the store as it was.
///
/// Verifies: dropping the stream ends the pull; nothing else happens.
pub async fn a_dropped_pull_harms_nobody<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    client.fill(GlobalSeq::ROOT, 3).await;
    let mut bystander = client.follow(Cursor::start());
    for mode in [PullMode::Once, PullMode::Live] {
        drop(client.pull(Cursor::start(), mode));
        let mut polled = client.pull(Cursor::start(), mode);
        let _ = poll!(polled.next());
        drop(polled);
        let mut read = client.pull(Cursor::start(), mode);
        read.next().await.unwrap().unwrap();
        drop(read);
    }
    client.push(client.events(GlobalSeq(3), 2)).await.unwrap();
    assert_eq!(bystander.read_to(GlobalSeq(5)).await, client.log().await);
}

/// While a reader does not read, megabytes are pushed and read by others; then it gets all of them.
///
/// Verifies: a slow reader costs nobody else, and loses nothing.
pub async fn a_reader_that_never_reads_harms_nobody<F: BackendFixture>(fixture: &F) {
    const EVENTS: u64 = 40;
    let (store, client) = Client::of_new_store(fixture).await;
    let event_bytes = client.capabilities().limits.max_event_bytes.min(200_000);
    let sleeper = Client::connect(fixture, &store, "sleeper").await;
    let mut asleep = sleeper.follow(Cursor::start());
    client.fill(GlobalSeq::ROOT, 1).await;
    asleep.read_to(GlobalSeq(1)).await;
    let mut awake = client.follow(Cursor::start());
    let mut seen: Vec<SyncedEvent> = awake.read_to(GlobalSeq(1)).await;
    for after in 1..=EVENTS {
        client.push(vec![client.event_of(GlobalSeq(after), event_bytes)]).await.unwrap();
        seen.extend(awake.read_to(GlobalSeq(after + 1)).await);
    }
    assert_eq!(asleep.read_to(GlobalSeq(EVENTS + 1)).await, seen[1..]);
}

/// The acknowledgement, a follower, a later pull and a repeated push tell the same time for an event.
///
/// Verifies: `created_at` is stored with the event.
pub async fn a_time_is_the_same_wherever_it_is_told<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let mut follower = client.follow(Cursor::start());
    let events = client.events(GlobalSeq::ROOT, 2);
    let ack = client.push(events.clone()).await.unwrap();
    let followed = follower.read_to(GlobalSeq(2)).await;
    let pulled = client.log().await;
    assert_eq!(followed, pulled);
    assert!(pulled.iter().all(|event| event.created_at == Some(ack.created_at)));
    assert_eq!(client.push(events).await.unwrap().created_at, ack.created_at);
}
