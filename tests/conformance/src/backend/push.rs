//! Cases: what gets into the log.

use futures::{FutureExt, poll};
use livestore_traits::{CommitRef, GlobalSeq, Push, PushError, RejectCode, SyncedEvent};

use super::BackendFixture;
use super::client::{Client, events_of, unstamped};

/// What was pushed is pulled: numbers, names, args, ids, commits and unit ends.
///
/// Verifies: never renumbers; carries what a client needs to recognise its own events.
pub async fn pushed_events_come_back_as_they_were<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let mut events = client.events(GlobalSeq::ROOT, 5);
    // Two units: one of three events, one of two; the second was committed over a wire that carries no commits.
    for (index, event) in events.iter_mut().enumerate() {
        event.unit_end = index == 2 || index == 4;
        event.commit = (index <= 2).then_some(CommitRef { n: u64::MAX - 1, index: index as u32 });
    }
    let ack = client.push(events.clone()).await.unwrap();
    assert_eq!(ack.cursor.after, GlobalSeq(5));
    assert_eq!(ack.backend_id, client.backend_id);
    let carried: Vec<_> = events.into_iter().map(|event| client.as_carried(event)).collect();
    assert_eq!(unstamped(&client.log().await), carried);
}

/// Args of every shape come back with the very bytes that were sent.
///
/// Verifies: args are uninterpreted.
pub async fn args_come_back_byte_by_byte<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let long = format!("\"{}\"", "ü".repeat(50_000));
    let texts = [
        "null",
        "\"\"",
        "{}",
        "0.10",
        "-0",
        "1e308",
        r#"{ "b" : 1, "a" : [ true , null ] }"#,
        r#"{"é":"日本語 🦀 \u0000 \ud83e\udd80 \" \\ \/ \n"}"#,
        "[\"\u{2028}\u{2029}\u{feff}\"]",
        &deep,
        &long,
    ];
    let events: Vec<_> =
        texts.iter().enumerate().map(|(index, text)| client.event(GlobalSeq(index as u64), text)).collect();
    client.push(events).await.unwrap();
    let log = client.log().await;
    let read: Vec<&str> = log.iter().map(|event| event.args.as_str()).collect();
    assert_eq!(read, texts);
}

/// A client that does not know the backend's id yet pushes all the same, and learns it, however long the log is.
///
/// Verifies: `Push::backend_id` is `None` before the first pull; `PushAck::backend_id`.
pub async fn a_push_without_a_backend_id_is_acknowledged_with_it<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    for batch in 0..5 {
        let parent = GlobalSeq(batch * 60);
        let push = Push::new(None, parent, None, client.events(parent, 60));
        let ack = client.backend.push(push).await.unwrap();
        assert_eq!((ack.cursor.after, ack.backend_id), (GlobalSeq(parent.0 + 60), client.backend_id.clone()));
    }
}

/// A batch that follows the head is accepted, and the acknowledgement's cursor goes on behind it.
///
/// Verifies: admission at the head.
pub async fn a_batch_follows_another<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let first = client.push(client.events(GlobalSeq::ROOT, 2)).await.unwrap();
    let second = client.push(client.events(GlobalSeq(2), 3)).await.unwrap();
    assert_eq!(second.cursor.after, GlobalSeq(5));
    assert_eq!(events_of(&client.pages(first.cursor).await).len(), 3);
    assert_eq!(events_of(&client.pages(second.cursor).await).len(), 0);
}

/// A push behind the head is refused with the head and, where the backend sends them, exactly the missing events.
///
/// Verifies: `UpstreamAhead`; stored whole or not at all.
pub async fn a_stale_parent_is_told_the_head_and_what_is_missing<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    client.fill(GlobalSeq::ROOT, 5).await;
    let log = client.log().await;
    for parent in [0, 2, 4] {
        let stale = client.event(GlobalSeq(parent), "\"stale\"");
        let error = client.push(vec![stale]).await.unwrap_err();
        let PushError::UpstreamAhead { head, missing } = error else { panic!("{error:?}") };
        assert_eq!(head, GlobalSeq(5));
        if let Some(page) = missing {
            assert_eq!((page.after, page.through), (GlobalSeq(parent), GlobalSeq(5)));
            assert_eq!(page.events[..], log[parent as usize..]);
            assert_eq!(page.backend_id, client.backend_id);
            assert_eq!(events_of(&client.pages(page.cursor).await), []);
        }
    }
    assert_eq!(client.log().await, log);
}

/// A push beyond the head is refused with the head; nothing is missing.
///
/// Verifies: `UpstreamAhead` below the parent, by which a client learns of a log that was set back.
pub async fn a_parent_beyond_the_head_is_told_the_head<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    client.fill(GlobalSeq::ROOT, 2).await;
    for parent in [3, 1_000_000] {
        let error = client.push(client.events(GlobalSeq(parent), 1)).await.unwrap_err();
        let PushError::UpstreamAhead { head, missing } = error else { panic!("{error:?}") };
        assert_eq!(head, GlobalSeq(2));
        assert!(missing.is_none_or(|page| page.events.is_empty()));
    }
    assert_eq!(client.log().await.len(), 2);
}

/// A batch with a gap, a repeated or reordered event, another parent than it names, or half a unit is invalid.
///
/// Verifies: whole chain valid; stored whole or not at all.
pub async fn a_broken_chain_is_invalid_and_stores_nothing<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let good = client.events(GlobalSeq::ROOT, 4);
    let order =
        |indices: &[usize]| -> Vec<SyncedEvent> { indices.iter().map(|i| good[*i].clone()).collect() };
    let mut wrong_parent = good.clone();
    wrong_parent[2].parent = GlobalSeq(1);
    let mut half_a_unit = good.clone();
    half_a_unit[3].unit_end = false;
    let mut last_number = client.events(GlobalSeq(u64::MAX - 1), 1);
    last_number[0].parent = GlobalSeq(u64::MAX);
    for (what, parent, events) in [
        ("a gap", 0, order(&[0, 1, 3])),
        ("a repeat", 0, order(&[0, 1, 1, 2])),
        ("another order", 0, order(&[0, 2, 1, 3])),
        ("another parent inside", 0, wrong_parent),
        ("another parent than the push names", 1, good.clone()),
        ("half a unit", 0, half_a_unit),
        ("numbers that overflow", u64::MAX, last_number),
    ] {
        let push = Push::new(Some(client.backend_id.clone()), GlobalSeq(parent), None, events);
        let result = client.backend.push(push).await;
        assert!(matches!(result, Err(PushError::Invalid(_))), "{what}: {result:?}");
    }
    assert_eq!(client.log().await, []);
}

/// A batch without events is invalid.
///
/// Verifies: batches are not empty.
pub async fn an_empty_batch_is_invalid<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let result = client.push(Vec::new()).await;
    assert!(matches!(result, Err(PushError::Invalid(_))), "{result:?}");
}

/// One event less than the limit and as many as the limit are accepted; one more is too large and stores nothing.
///
/// Verifies: `max_batch_events`.
pub async fn batches_are_accepted_up_to_the_limit<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let limits = client.capabilities().limits;
    let mut head = GlobalSeq::ROOT;
    for count in [limits.max_batch_events - 1, limits.max_batch_events] {
        head = client.push(client.events(head, count)).await.unwrap().cursor.after;
    }
    let error = client.push(client.events(head, limits.max_batch_events + 1)).await.unwrap_err();
    let PushError::TooLarge { limits: told } = error else { panic!("{error:?}") };
    assert_eq!(told.max_batch_events, limits.max_batch_events);
    assert_eq!(client.log().await.len() as u64, head.0);
}

/// The largest event is accepted; one byte more is rejected for good, by its index.
///
/// Verifies: `max_event_bytes`.
pub async fn an_event_is_accepted_up_to_the_limit<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let limits = client.capabilities().limits;
    let largest = limits.max_event_bytes.min(limits.max_batch_bytes);
    client.push(vec![client.event_of(GlobalSeq::ROOT, largest)]).await.unwrap();
    let batch =
        vec![client.event(GlobalSeq(1), "1"), client.event_of(GlobalSeq(2), limits.max_event_bytes + 1)];
    let error = client.push(batch).await.unwrap_err();
    let PushError::Rejected(rejection) = error else { panic!("{error:?}") };
    assert_eq!((rejection.index, rejection.code), (1, RejectCode::TooLarge));
    let log = client.log().await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].encoded_len(), largest);
}

/// A batch whose events fit one by one but not together is too large and stores nothing.
///
/// Verifies: `max_batch_bytes`.
pub async fn a_batch_of_too_many_bytes_is_refused<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let limits = client.capabilities().limits;
    let half = limits.max_batch_bytes / 2 + 1;
    if half > limits.max_event_bytes {
        return;
    }
    let batch = vec![client.event_of(GlobalSeq::ROOT, half), client.event_of(GlobalSeq(1), half)];
    let result = client.push(batch).await;
    assert!(matches!(result, Err(PushError::TooLarge { .. })), "{result:?}");
    assert_eq!(client.log().await, []);
}

/// Clients that push at the same time each get every batch in exactly once, and the log is one chain.
///
/// Verifies: admission is one critical section.
pub async fn racing_pushers_build_one_chain<F: BackendFixture>(fixture: &F) {
    const PUSHERS: usize = 8;
    const BATCHES: usize = 10;
    let (store, first) = Client::of_new_store(fixture).await;
    let mut pushers = Vec::new();
    for pusher in 0..PUSHERS {
        let client = Client::connect(fixture, &store, &format!("client-{pusher}")).await;
        pushers.push(tokio::spawn(async move {
            let mut head = GlobalSeq::ROOT;
            for batch in 0..BATCHES {
                head = push_until_accepted(&client, head, batch).await;
            }
        }));
    }
    for pusher in pushers {
        pusher.await.unwrap();
    }
    let log = first.log().await;
    for pusher in 0..PUSHERS {
        let own = log.iter().filter(|event| event.client_id.as_str() == format!("client-{pusher}"));
        let seen: Vec<&str> = own.map(|event| event.args.as_str()).collect();
        let expected: Vec<_> =
            (0..BATCHES).flat_map(|batch| [format!("[{batch},0]"), format!("[{batch},1]")]).collect();
        assert_eq!(seen, expected, "the batches of client-{pusher}");
    }
    assert_eq!(log.len(), PUSHERS * BATCHES * 2);
}

/// Pushes a batch of two events, rebased until it follows the head.
async fn push_until_accepted(client: &Client, mut head: GlobalSeq, batch: usize) -> GlobalSeq {
    loop {
        let mut events = vec![
            client.event(head, &format!("[{batch},0]")),
            client.event(head.next(), &format!("[{batch},1]")),
        ];
        events[0].unit_end = false;
        match client.push(events).await {
            Ok(ack) => return ack.cursor.after,
            Err(PushError::UpstreamAhead { head: moved, .. }) => head = moved,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// A push whose future is dropped at any point is in the log whole or not at all, and the same push can follow.
///
/// Verifies: a dropped future tears nothing apart.
pub async fn a_dropped_push_happened_whole_or_not_at_all<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let mut head = GlobalSeq::ROOT;
    for polls in 0..6 {
        let events = client.events(head, 3);
        let mut push = client.push(events.clone()).boxed();
        for _ in 0..polls {
            if poll!(&mut push).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(push);
        let stored = client.log().await.len() as u64 - head.0;
        assert!(stored == 0 || stored == 3, "{stored} of 3 events are stored after {polls} polls");
        head = client.push(events).await.unwrap().cursor.after;
        assert_eq!(client.log().await.len() as u64, head.0);
    }
}
