//! Cases: a push whose answer was lost is pushed again.

use livestore_traits::{Args, GlobalSeq, PushError, SyncedEvent};

use super::BackendFixture;
use super::client::Client;

/// A batch that stands in the log is acknowledged again as it was, also after others have pushed, and stored once.
///
/// Verifies: idempotence, so that a lost answer blocks nobody.
pub async fn a_repeated_push_is_acknowledged_again<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    client.fill(GlobalSeq::ROOT, 2).await;
    let events = client.events(GlobalSeq(2), 3);
    let ack = client.push(events.clone()).await.unwrap();
    assert_eq!(client.push(events.clone()).await.unwrap(), ack);
    // So many that the batch is neither the last nor, in most backends, still at hand.
    let more = 3 * client.capabilities().limits.max_batch_events;
    client.fill(GlobalSeq(5), more).await;
    assert_eq!(client.push(events.clone()).await.unwrap(), ack);
    // A part of what was pushed stands in the log as well; its cursor is at its own end.
    let part = client.push(events[..2].to_vec()).await.unwrap();
    assert_eq!((part.cursor.after, part.created_at), (GlobalSeq(4), ack.created_at));
    assert_eq!(client.pages(part.cursor).await[0].after, GlobalSeq(4));
    assert_eq!(client.log().await.len(), 5 + more);
}

/// A repeat whose args are spelled differently but read the same by JavaScript is acknowledged; the log keeps the first.
///
/// Verifies: content is equal as JavaScript reads it.
pub async fn a_repeat_is_recognised_as_javascript_reads_it<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let first = client.event(GlobalSeq::ROOT, r#"{"a":1,"b":[1.50,"A"]}"#);
    let again = client.event(GlobalSeq::ROOT, r#"{ "b": [15e-1, "\u0041"], "a": 1.0 }"#);
    let other = client.event(GlobalSeq::ROOT, r#"{"a":1,"b":["A",1.5]}"#);
    let ack = client.push(vec![first.clone()]).await.unwrap();
    assert_eq!(client.push(vec![again]).await.unwrap(), ack);
    let result = client.push(vec![other]).await;
    assert!(matches!(result, Err(PushError::UpstreamAhead { .. })), "{result:?}");
    assert_eq!(client.log().await[0].args, first.args);
}

/// A batch that begins in the log and goes on beyond its head is not a repeat.
///
/// Verifies: stored whole or not at all.
pub async fn a_partial_overlap_is_no_repeat<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let events = client.events(GlobalSeq::ROOT, 4);
    client.push(events[..2].to_vec()).await.unwrap();
    for overlap in [&events[..], &events[1..]] {
        let error = client.push(overlap.to_vec()).await.unwrap_err();
        assert!(matches!(error, PushError::UpstreamAhead { head: GlobalSeq(2), .. }), "{error:?}");
    }
    assert_eq!(client.log().await.len(), 2);
}

/// A batch at numbers that others took is not a repeat, whichever part of its content differs.
///
/// Verifies: idempotence compares all of the content.
pub async fn other_content_at_the_same_numbers_is_no_repeat<F: BackendFixture>(fixture: &F) {
    let (store, client) = Client::of_new_store(fixture).await;
    let events = client.fill(GlobalSeq::ROOT, 3).await;
    let stranger = Client::connect(fixture, &store, "stranger").await;
    let changed = |change: &dyn Fn(&mut SyncedEvent)| {
        let mut events = events.clone();
        change(&mut events[2]);
        events
    };
    let mut others = vec![
        ("client", stranger.events(GlobalSeq::ROOT, 3)),
        ("args", changed(&|event| event.args = Args::parse("\"other\"").unwrap())),
        ("name", changed(&|event| event.name = "v2.Tested".parse().unwrap())),
        ("session", changed(&|event| event.session_id = "other".parse().unwrap())),
    ];
    if client.carries.commits {
        others.push(("commit", changed(&|event| event.commit.as_mut().unwrap().n += 1)));
    }
    for (what, events) in others {
        let result = client.push(events).await;
        assert!(matches!(result, Err(PushError::UpstreamAhead { .. })), "another {what}: {result:?}");
    }
    assert_eq!(client.log().await.len(), 3);
}

/// One batch pushed many times at once is stored once and acknowledged every time.
///
/// Verifies: idempotence and admission are one decision.
pub async fn racing_repeats_are_stored_once<F: BackendFixture>(fixture: &F) {
    let (store, first) = Client::of_new_store(fixture).await;
    for round in 0..5 {
        let events = first.events(GlobalSeq(3 * round), 3);
        let mut pushes = Vec::new();
        for _ in 0..6 {
            let client = Client::connect(fixture, &store, "client").await;
            let events = events.clone();
            pushes.push(tokio::spawn(async move { client.push(events).await.unwrap() }));
        }
        for push in pushes {
            assert_eq!(push.await.unwrap().cursor.after, GlobalSeq(3 * round + 3));
        }
    }
    assert_eq!(first.log().await.len(), 15);
}
