//! What servers answer to a push.

use std::sync::atomic::{AtomicUsize, Ordering};

use livestore_traits::{BoxError, Recovery, UnixMillis};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_push_is_sent_as_livestore_does_and_the_echo_completes_its_answer() {
    let (mut server, backend) = start();
    let mut pages = pulling(&backend, 0);
    let _reading = tokio::spawn(async move { while pages.next().await.is_some() {} });
    let mut peer = server.accept().await;
    let (pull, _) = peer.pull().await;
    let push = pushing(&backend, batch(1, 2));
    let (id, payload) = peer.push().await;
    let backend_id = json!({"_tag": "Some", "value": "b"});
    assert_eq!(
        payload,
        json!({"storeId": "todo", "batch": [encoded(1), encoded(2)], "backendId": backend_id})
    );
    peer.chunk(&pull, &[item(1, 2, no_more())]).await;
    peer.exit(&id, json!({"_tag": "Success", "value": {}})).await;
    let ack = push.await.unwrap().unwrap();
    assert_eq!((ack.cursor.after, ack.created_at), (GlobalSeq(2), UnixMillis(1_795_409_837_674)));
    assert!(ack.cursor.token.is_some());
}

#[tokio::test(start_paused = true)]
async fn without_an_echo_the_rest_of_the_answer_is_asked_for() {
    for is_answered in [true, false] {
        let (mut server, backend) = start();
        let push = pushing(&backend, batch(1, 2));
        let mut peer = server.accept().await;
        let (id, _) = peer.push().await;
        peer.exit(&id, json!({"_tag": "Success", "value": {}})).await;
        let (id, payload) = peer.pull().await;
        assert_eq!(
            (&payload["live"], &payload["cursor"]["value"]["eventSequenceNumber"]),
            (&json!(false), &json!(0))
        );
        if is_answered {
            peer.chunk(&id, &[item(1, 2, no_more())]).await;
        } else {
            drop(peer);
        }
        // It was accepted, whether or not the rest is learned.
        let ack = push.await.unwrap().unwrap();
        assert_eq!((ack.cursor.after, ack.cursor.token.is_some()), (GlobalSeq(2), is_answered));
    }
}

#[tokio::test(start_paused = true)]
async fn how_a_push_can_fail() {
    let cause = |cause: Value| json!({"_tag": "Failure", "cause": cause});
    let fail = |error: Value| cause(json!({"_tag": "Fail", "error": error}));
    let ahead = json!({"minimumExpectedNum": 7, "providedNum": 0, "_tag": "ServerAheadError"});
    let mismatch = json!({"expected": "a", "received": "b", "_tag": "BackendIdMismatchError"});
    for (exit, expected, recovery) in [
        (fail(ahead.clone()), "UpstreamAhead { head: GlobalSeq(7)", Recovery::Rebase),
        (
            cause(json!([{"_tag": "Fail", "error": ahead}])),
            "UpstreamAhead { head: GlobalSeq(7)",
            Recovery::Rebase,
        ),
        (fail(mismatch), "Diverged", Recovery::Diverged),
        // It may pass: the batch stays, and is pushed again after a pull and a backoff.
        (fail(unknown("Error", "push refused by onPush")), "Backend", Recovery::PullThenRetry),
        (fail(unknown("UnauthorizedError", "read only")), "Unauthorized", Recovery::Unauthorized),
        (fail(unknown("RejectedError", "too rude")), "Rejected", Recovery::Drop),
        (cause(json!({"_tag": "Die", "defect": "no"})), "Backend", Recovery::PullThenRetry),
        (
            cause(json!({"_tag": "Interrupt", "fiberId": {"_tag": "None"}})),
            "Unacknowledged",
            Recovery::PullThenRetry,
        ),
    ] {
        let (mut server, backend) = start();
        // One unit, which reaches beyond the head.
        let mut unit = batch(1, 9);
        unit.events[..8].iter_mut().for_each(|event| event.unit_end = false);
        let push = pushing(&backend, unit);
        let mut peer = server.accept().await;
        let (id, _) = peer.push().await;
        peer.exit(&id, exit).await;
        let error = push.await.unwrap().unwrap_err();
        assert_eq!(error.recovery(), recovery, "{error:?}");
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_that_is_rejected_the_first_unit_is_tried_alone() {
    for is_to_blame in [true, false] {
        let (mut server, backend) = start();
        let push = pushing(&backend, batch(1, 3));
        let mut peer = server.accept().await;
        let (id, _) = peer.push().await;
        peer.fail(&id, unknown("RejectedError", "one of them is rude")).await;
        let (id, payload) = peer.push().await;
        assert_eq!(payload["batch"], json!([encoded(1)]));
        if is_to_blame {
            peer.fail(&id, unknown("RejectedError", "it is rude")).await;
            let error = push.await.unwrap().unwrap_err();
            let PushError::Rejected(rejection) = error else { panic!("{error:?}") };
            assert_eq!((rejection.index, rejection.message.as_str()), (0, "it is rude"));
        } else {
            peer.exit(&id, json!({"_tag": "Success", "value": {}})).await;
            let error = push.await.unwrap().unwrap_err();
            assert!(matches!(error, PushError::UpstreamAhead { head: GlobalSeq(1), .. }), "{error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_unacknowledged_and_what_was_not_sent_is_offline() {
    let (mut server, backend) = start();
    let push = pushing(&backend, batch(1, 1));
    let mut peer = server.accept().await;
    peer.push().await;
    // A second one waits for its turn meanwhile.
    let waiting = pushing(&backend, batch(1, 1));
    peer.expect_silence().await;
    drop(server);
    drop(peer);
    let error = push.await.unwrap().unwrap_err();
    assert!(matches!(error, PushError::Unacknowledged(_)), "{error:?}");
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, PushError::Offline(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_no_server_takes_is_not_sent() {
    let (_server, backend) = start();
    let empty = Push::new(None, GlobalSeq(0), None, Vec::new());
    assert!(matches!(backend.push(empty).await, Err(PushError::Invalid(_))));
    let gap = Push::new(None, GlobalSeq(0), None, vec![event(1), event(3)]);
    assert!(matches!(backend.push(gap).await, Err(PushError::Invalid(_))));
    assert!(matches!(backend.push(batch(1, 101)).await, Err(PushError::TooLarge { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_defect_fails_all_requests_and_the_connection_serves_on() {
    let (mut server, backend) = start();
    let mut pages = pulling(&backend, 0);
    let reading = tokio::spawn(async move { pages.next().await.unwrap().unwrap_err() });
    let mut peer = server.accept().await;
    peer.pull().await;
    let push = pushing(&backend, batch(1, 1));
    peer.push().await;
    peer.say(
        json!({"_tag": "Defect", "defect": {"name": "TypeError", "message": "undefined is no function"}}),
    )
    .await;
    assert!(matches!(push.await.unwrap(), Err(PushError::Backend { .. })));
    assert!(matches!(reading.await.unwrap(), PullError::Backend { .. }));
    let _again = pushing(&backend, batch(1, 1));
    peer.push().await;
}

#[tokio::test(start_paused = true)]
async fn each_connection_shows_what_the_source_has_then() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut config = config();
    config.payload = Some(Arc::new(move || {
        let asked = asked.fetch_add(1, Ordering::Relaxed);
        async move {
            match asked {
                1 => Err(BoxError::from("the token server sleeps")),
                _ => Ok(SyncPayload::new(&json!({"token": asked}))?),
            }
        }
    }));
    let (mut server, backend) = start_with(config);
    let push = pushing(&backend, batch(1, 1));
    let mut peer = server.accept().await;
    assert_eq!(peer.payload.as_deref(), Some(r#"{"token":0}"#));
    let (_, payload) = peer.push().await;
    assert_eq!(payload["payload"], json!({"token": 0}));
    drop(peer);
    push.await.unwrap().unwrap_err();
    let error = backend.push(batch(1, 1)).await.unwrap_err();
    assert!(
        matches!(&error, PushError::Offline(source) if source.to_string().contains("payload")),
        "{error:?}"
    );
    let _push = pushing(&backend, batch(1, 1));
    let mut peer = server.accept().await;
    assert_eq!(peer.payload.as_deref(), Some(r#"{"token":2}"#));
    assert_eq!(peer.push().await.1["payload"], json!({"token": 2}));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_is_refused_is_recognised() {
    for is_repeat in [true, false] {
        let (mut server, backend) = start();
        let push = pushing(&backend, batch(1, 2));
        let mut peer = server.accept().await;
        let (id, _) = peer.push().await;
        peer.fail(&id, json!({"minimumExpectedNum": 4, "providedNum": 0, "_tag": "ServerAheadError"})).await;
        let (id, _) = peer.pull().await;
        let mut there = item(1, 4, no_more());
        if !is_repeat {
            there["batch"][1]["eventEncoded"]["clientId"] = json!("somebody else");
        }
        peer.chunk(&id, &[there]).await;
        match push.await.unwrap() {
            Ok(ack) => assert!(is_repeat && ack.cursor.after == GlobalSeq(2)),
            Err(error) => {
                assert!(!is_repeat && matches!(error, PushError::UpstreamAhead { head: GlobalSeq(4), .. }));
            }
        }
    }
}
