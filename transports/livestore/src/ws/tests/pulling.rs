//! What servers do to a pull.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_pull_begins_with_the_last_known_event_and_acknowledges_each_chunk() {
    let (mut server, backend) = start();
    let mut pages = pulling(&backend, 2);
    let reading = tokio::spawn(async move { (pages.next().await, pages.next().await, pages) });
    let mut peer = server.accept().await;
    let (id, payload) = peer.pull().await;
    let cursor = json!({"_tag": "Some", "value": {"backendId": "b", "eventSequenceNumber": 1}});
    assert_eq!(payload, json!({"storeId": "todo", "live": true, "cursor": cursor}));
    peer.chunk(&id, &[item(2, 4, more(1))]).await;
    peer.expect_ack(&id).await;
    // Several values in one chunk have one acknowledgement.
    peer.chunk(&id, &[item(5, 5, more(1)), item(6, 6, no_more())]).await;
    peer.expect_ack(&id).await;
    let (first, second, mut pages) = reading.await.unwrap();
    let (first, second) = (first.unwrap().unwrap(), second.unwrap().unwrap());
    assert_eq!((first.after, numbers(&first)), (GlobalSeq(2), vec![3, 4]));
    assert_eq!((second.after, numbers(&second)), (GlobalSeq(4), vec![5]));
    assert_eq!(numbers(&pages.next().await.unwrap().unwrap()), [6]);
    peer.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_not_the_one_it_was_is_noticed() {
    let written = |created_at: &str| {
        let text = format!(r#"{{"backendId":"b","eventSequenceNumber":2,"createdAt":{created_at}}}"#);
        Cursor { after: GlobalSeq(2), token: Some(text.into()) }
    };
    for (cursor, answer, expected) in [
        (written("1795409837674"), item(2, 2, no_more()), None),
        (written("1795409837675"), item(2, 9, no_more()), Some("another event at e2")),
        (written("1795409837674"), item(2, 1, no_more()), Some("ends before e2")),
        (Cursor { after: GlobalSeq(2), token: None }, item(2, 1, no_more()), Some("ends before e2")),
    ] {
        let (mut server, backend) = start();
        let mut pages = backend.pull(Pull::new(None, cursor.clone(), PullMode::Live));
        let reading = tokio::spawn(async move { pages.next().await.unwrap() });
        let mut peer = server.accept().await;
        let (id, payload) = peer.pull().await;
        let is_placed = cursor.token.is_some();
        assert_eq!(payload["cursor"]["_tag"], if is_placed { "Some" } else { "None" });
        if !is_placed {
            peer.chunk(&id, &[item(1, 1, more(1))]).await;
        }
        peer.chunk(&id, &[answer]).await;
        match (reading.await.unwrap(), expected) {
            (Ok(page), None) => assert_eq!((page.events.len(), page.cursor), (0, cursor)),
            (Err(PullError::Diverged(why)), Some(expected)) => assert!(why.contains(expected), "{why}"),
            (read, _) => panic!("{read:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_overtakes_a_catch_up_waits_for_its_turn_and_repeats_are_cut_off() {
    let (mut server, backend) = start();
    let mut pages = pulling(&backend, 0);
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        while read.len() < 9 {
            let page = pages.next().await.unwrap().unwrap();
            assert_eq!(page.after.0, read.len() as u64);
            read.extend(numbers(&page));
        }
        (read, pages)
    });
    let mut peer = server.accept().await;
    let (id, _) = peer.pull().await;
    // As the reference server does it: events 7 and 8 are pushed while it catches up.
    peer.chunk(&id, &[item(1, 3, more(3))]).await;
    peer.chunk(&id, &[item(7, 7, no_more())]).await;
    peer.chunk(&id, &[item(8, 8, no_more())]).await;
    peer.chunk(&id, &[item(4, 6, more(1))]).await;
    peer.chunk(&id, &[item(7, 7, no_more())]).await;
    peer.chunk(&id, &[item(9, 9, no_more())]).await;
    let (read, _pages) = reading.await.unwrap();
    assert_eq!(read, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn a_gap_a_broken_chain_and_another_backend_end_the_pull() {
    let mut another = item(2, 2, no_more());
    another["backendId"] = json!("other");
    let mut broken = item(2, 3, no_more());
    broken["batch"][1]["eventEncoded"]["parentSeqNum"] = json!(1);
    let mut descending = item(2, 3, no_more());
    descending["batch"].as_array_mut().unwrap().reverse();
    for (wrong, is_divergence) in
        [(item(3, 3, no_more()), false), (broken, false), (descending, false), (another, true)]
    {
        let (mut server, backend) = start();
        let mut pages = pulling(&backend, 0);
        let reading = tokio::spawn(async move {
            pages.next().await.unwrap().unwrap();
            let error = pages.next().await.unwrap().unwrap_err();
            assert!(pages.next().await.is_none(), "after an error the stream ends");
            error
        });
        let mut peer = server.accept().await;
        let (id, _) = peer.pull().await;
        peer.chunk(&id, &[item(1, 1, no_more())]).await;
        peer.expect_ack(&id).await;
        peer.chunk(&id, &[wrong]).await;
        let error = reading.await.unwrap();
        assert_eq!(matches!(error, PullError::Diverged(_)), is_divergence, "{error:?}");
        assert!(is_divergence || matches!(error, PullError::Backend { .. }), "{error:?}");
        // It is told to stop, and the connection serves on.
        peer.expect_ack(&id).await;
        peer.expect(&json!({"_tag": "Interrupt", "requestId": id})).await;
        let _again = tokio::spawn({
            let mut pages = pulling(&backend, 0);
            async move { pages.next().await }
        });
        peer.pull().await;
    }
}

#[tokio::test(start_paused = true)]
async fn how_a_pull_can_fail() {
    let cause = |cause: Value| json!({"_tag": "Failure", "cause": cause});
    let fail = |error: Value| cause(json!({"_tag": "Fail", "error": error}));
    let interrupt = json!({"_tag": "Interrupt", "fiberId": {"_tag": "None"}});
    let tree = json!({"_tag": "Sequential", "left": {"_tag": "Empty"}, "right": interrupt});
    let mismatch = json!({"expected": "b", "received": "a", "_tag": "BackendIdMismatchError"});
    for (exit, expected) in [
        (fail(unknown("Error", "it rains")), "Backend"),
        (fail(unknown("UnauthorizedError", "go away")), "Unauthorized"),
        (fail(mismatch.clone()), "Diverged"),
        (cause(json!({"_tag": "Die", "defect": "no"})), "Backend"),
        (cause(tree), "Offline"),
        // As main writes it.
        (cause(json!([{"_tag": "Fail", "error": mismatch}])), "Diverged"),
        // A live pull never ends by itself.
        (json!({"_tag": "Success"}), "Backend"),
    ] {
        let (mut server, backend) = start();
        let mut pages = pulling(&backend, 0);
        let reading = tokio::spawn(async move { pages.next().await.unwrap().unwrap_err() });
        let mut peer = server.accept().await;
        let (id, _) = peer.pull().await;
        peer.exit(&id, exit).await;
        let error = format!("{:?}", reading.await.unwrap());
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_catch_up_waits_for_a_slow_reader() {
    let mut config = config();
    config.pull_window_bytes = 1;
    let (mut server, backend) = start_with(config);
    let mut pages = pulling(&backend, 0);
    let first = tokio::spawn(async move { (pages.next().await.unwrap().unwrap(), pages) });
    let mut peer = server.accept().await;
    let (id, _) = peer.pull().await;
    peer.chunk(&id, &[item(1, 1, more(1))]).await;
    peer.expect_ack(&id).await;
    let (_, mut pages) = first.await.unwrap();
    peer.chunk(&id, &[item(2, 2, no_more())]).await;
    peer.expect_silence().await;
    assert_eq!(numbers(&pages.next().await.unwrap().unwrap()), [2]);
    peer.expect_ack(&id).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_lags_behind_broadcasts_is_caught_up_at_its_own_pace() {
    let mut config = config();
    config.pull_window_bytes = 1;
    let (mut server, backend) = start_with(config);
    let mut pages = pulling(&backend, 0);
    let first = tokio::spawn(async move { (pages.next().await.unwrap().unwrap(), pages) });
    let mut peer = server.accept().await;
    let (id, _) = peer.pull().await;
    peer.chunk(&id, &[item(1, 0, no_more())]).await;
    peer.expect_ack(&id).await;
    let (_, mut pages) = first.await.unwrap();
    // Nobody reads: the first waits, the second is too much, and all others are not listened to.
    for seq in 1..=50 {
        peer.chunk(&id, &[item(seq, seq, no_more())]).await;
    }
    peer.expect(&json!({"_tag": "Interrupt", "requestId": id})).await;
    assert_eq!(numbers(&pages.next().await.unwrap().unwrap()), [1]);
    let reading = tokio::spawn(async move { pages.next().await.unwrap().unwrap() });
    let (again, payload) = peer.pull().await;
    assert_ne!(again, id);
    assert_eq!(payload["cursor"]["value"]["eventSequenceNumber"], 0);
    peer.chunk(&again, &[item(1, 50, no_more())]).await;
    assert_eq!(numbers(&reading.await.unwrap()), (2..=50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pull_is_interrupted_and_the_last_handle_closes() {
    let (mut server, backend) = start();
    let mut dropped = pulling(&backend, 0);
    let mut kept = pulling(&backend, 0);
    let reading = tokio::spawn(async move {
        let _ = futures::poll!(dropped.next());
        let _ = futures::poll!(kept.next());
        kept.next().await.unwrap().unwrap();
        drop(dropped);
        kept
    });
    let mut peer = server.accept().await;
    let ((first, _), (second, _)) = (peer.pull().await, peer.pull().await);
    peer.chunk(&second, &[item(1, 0, no_more())]).await;
    peer.expect_ack(&second).await;
    let kept = reading.await.unwrap();
    peer.expect(&json!({"_tag": "Interrupt", "requestId": first})).await;
    let mut statuses = backend.connection();
    drop(backend);
    peer.expect_silence().await;
    drop(kept);
    peer.expect(&json!({"_tag": "Interrupt", "requestId": second})).await;
    peer.expect_close().await;
    while statuses.next().await.is_some_and(|status| status != ConnectionStatus::Offline) {}
}
