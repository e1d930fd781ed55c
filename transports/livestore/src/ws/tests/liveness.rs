//! Connections that die, loudly or not, and what comes after them.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::*;

async fn is_offline(mut pages: BoxStream<'static, Result<PullPage, PullError>>) -> bool {
    matches!(pages.next().await, Some(Err(PullError::Offline(_))))
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_pings_is_kept_and_a_silent_one_is_left() {
    let (mut server, backend) = start();
    let reading = tokio::spawn(is_offline(pulling(&backend, 0)));
    let mut peer = server.accept().await;
    peer.pull().await;
    let connected = Instant::now();
    for _ in 0..100 {
        peer.expect(&json!({"_tag": "Ping"})).await;
        peer.say(json!({"_tag": "Pong"})).await;
    }
    let elapsed = connected.elapsed();
    assert!(Duration::from_secs(1000) <= elapsed && elapsed < Duration::from_secs(1600), "{elapsed:?}");
    // From here on it says nothing, and does not hang up either.
    peer.expect(&json!({"_tag": "Ping"})).await;
    let pinged = Instant::now();
    assert!(reading.await.unwrap());
    assert!(pinged.elapsed() <= Duration::from_secs(15), "{:?}", pinged.elapsed());
    // The next connection pulls again as soon as somebody wants to.
    let _reading = tokio::spawn(is_offline(pulling(&backend, 0)));
    server.accept().await.pull().await;
}

#[tokio::test(start_paused = true)]
async fn any_frame_is_a_sign_of_life() {
    let (mut server, backend) = start();
    let mut pages = pulling(&backend, 0);
    let reading = tokio::spawn(async move {
        loop {
            let page = pages.next().await.unwrap().unwrap();
            if page.through == GlobalSeq(20) {
                return;
            }
        }
    });
    let mut peer = server.accept().await;
    let (id, _) = peer.pull().await;
    for seq in 1..=20 {
        tokio::time::sleep(Duration::from_secs(7)).await;
        peer.chunk(&id, &[item(seq, seq, no_more())]).await;
    }
    reading.await.unwrap();
}

/// A page that took longer over a slow link than the answer to a ping may was never got, whatever the number of attempts.
#[tokio::test(start_paused = true)]
async fn a_part_of_a_frame_is_a_sign_of_life() {
    let (mut server, backend) = start();
    let mut pages = pulling(&backend, 0);
    let reading = tokio::spawn(async move { pages.next().await.unwrap().unwrap().through });
    let mut peer = server.accept().await;
    let (id, _) = peer.pull().await;
    let chunk = json!({"_tag": "Chunk", "requestId": id, "values": [item(1, 1, no_more())]}).to_string();
    let mut frame = vec![0x81, 126];
    frame.extend(u16::try_from(chunk.len()).unwrap().to_be_bytes());
    frame.extend(chunk.as_bytes());
    for part in frame.chunks(20) {
        tokio::time::sleep(Duration::from_secs(7)).await;
        peer.socket.get_mut().write_all(part).await.unwrap();
    }
    assert_eq!(reading.await.unwrap(), GlobalSeq(1));
}

#[tokio::test(start_paused = true)]
async fn garbage_and_goodbyes_end_the_connection_and_another_follows() {
    for text in
        ["", "{", "null", "[]", r#"{"_tag":"Nope"}"#, r#"{"_tag":"Chunk","requestId":"0","values":[{}]}"#]
    {
        let (mut server, backend) = start();
        let push = pushing(&backend, batch(1, 1));
        let mut peer = server.accept().await;
        peer.push().await;
        peer.say_text(text.to_owned()).await;
        let error = push.await.unwrap().unwrap_err();
        assert!(matches!(error, PushError::Unacknowledged(_)), "{text}: {error:?}");
        server.accept().await;
    }
    let (mut server, backend) = start();
    let reading = tokio::spawn(is_offline(pulling(&backend, 0)));
    let mut peer = server.accept().await;
    peer.pull().await;
    peer.socket.send(Message::close(Some(tokio_websockets::CloseCode::GOING_AWAY), "bye")).await.unwrap();
    assert!(reading.await.unwrap());
    server.accept().await;
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_told_from_a_lost_connection() {
    let (mut server, backend) = start();
    let mut pages = pulling(&backend, 0);
    let reading = tokio::spawn(async move { pages.next().await.unwrap().unwrap_err() });
    let mut peer = server.accept().await;
    peer.pull().await;
    let expired = livestore_wire::CLOSE_UNAUTHORIZED.try_into().unwrap();
    peer.socket.send(Message::close(Some(expired), "expired")).await.unwrap();
    let error = reading.await.unwrap();
    assert!(matches!(error, PullError::Unauthorized(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn the_backoff_grows_while_connections_fail_and_starts_anew_after_one_that_worked() {
    let (mut server, backend) = start();
    let _push = pushing(&backend, batch(1, 1));
    let mut last = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..12 {
        // It never says anything: the handshake succeeds, the connection does not.
        drop(server.accept_silently().await);
        waits.push(std::mem::replace(&mut last, Instant::now()).elapsed());
    }
    let grown = waits[11];
    assert!(waits[2] < Duration::from_secs(2), "{waits:?}");
    assert!(Duration::from_secs(10) <= grown && grown <= Duration::from_secs(20), "{waits:?}");
    drop(server.accept().await);
    let worked = Instant::now();
    server.accept().await;
    assert!(worked.elapsed() <= Duration::from_millis(200), "{:?}", worked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_speaks_is_given_up() {
    let (mut server, backend) = start();
    let reading = tokio::spawn(is_offline(pulling(&backend, 0)));
    let _silent = server.accept_silently().await;
    let started = Instant::now();
    assert!(reading.await.unwrap());
    assert!(started.elapsed() <= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn the_status_follows_the_connection() {
    let (mut server, backend) = start();
    let mut statuses = backend.connection();
    let _push = pushing(&backend, batch(1, 1));
    let peer = server.accept().await;
    while statuses.next().await.unwrap() != ConnectionStatus::Connected {}
    drop(peer);
    assert_eq!(statuses.next().await, Some(ConnectionStatus::Connecting));
    let _peer = server.accept().await;
    assert_eq!(statuses.next().await, Some(ConnectionStatus::Connected));
}
