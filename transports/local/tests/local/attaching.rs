//! Attachments: both directions, giving up in the middle, many at once, and sessions that stand still.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt as _;
use livestore_traits::{
    Args, Attach, CommitRef, Event, EventName, LinkError, Rendezvous as _, SeqNum, SessionMessage,
    SessionPayload, SessionPush,
};
use livestore_transport_local::{LEAST_FRAME_BYTES, LocalRendezvous, Medium};

use crate::support::{attach, client_id, config, item, soon, test_link};

/// An event with so many bytes of args.
fn event(bytes: usize) -> Event {
    Event {
        num: SeqNum::ROOT.next_synced(SeqNum::ROOT.generation),
        name: EventName::new("v1.Noted").unwrap(),
        args: Args::from_value(&"x".repeat(bytes)).unwrap(),
        client_id: client_id(),
        session_id: attach("s1").session_id,
        commit: Some(CommitRef { n: 1, index: 0 }),
        unit_end: true,
        is_own: true,
    }
}

/// Neither direction changes or reorders anything, also of what is larger than a socket's buffer, and `send` returns
/// before anybody reads.
#[tokio::test]
async fn everything_arrives_in_order() {
    for medium in [Medium::Auto, Medium::Tcp] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config();
        config.medium = medium;
        let rendezvous = LocalRendezvous::new(dir.path(), config);
        let (link, mut sessions) = test_link();
        let _open = rendezvous.open(Arc::new(link)).await.unwrap();
        let mut attachment = soon(rendezvous.connect().attach(attach("s1"))).await.unwrap();
        let mut session = soon(sessions.recv()).await.unwrap();
        assert_eq!(session.attach, attach("s1"));

        let messages = [
            SessionMessage::Push(SessionPush {
                attempt: 1,
                base: SeqNum::ROOT,
                events: vec![event(8_000_000)],
            }),
            SessionMessage::Taken,
            SessionMessage::Refresh { cursor: SeqNum::ROOT, stream: 1 },
        ];
        // Nothing else runs on this thread between these.
        for message in &messages {
            attachment.sender.send(message.clone()).unwrap();
        }
        for message in messages {
            assert_eq!(soon(session.messages.recv()).await.unwrap(), message);
        }

        let large = SessionPayload::Advance {
            after: SeqNum::ROOT,
            events: [event(8_000_000)].into(),
            settled: SeqNum::ROOT,
        };
        let mut items: Vec<_> = (0..1000).map(item).collect();
        items[500].payload = large;
        for item in &items {
            session.items.send(item.clone()).unwrap();
        }
        for item in items {
            assert_eq!(soon(attachment.items.next()).await.unwrap(), item);
        }
    }
}

/// Dropping the sender detaches, and what was sent before arrives.
#[tokio::test]
async fn dropping_the_sender_detaches() {
    let dir = tempfile::tempdir().unwrap();
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let (link, mut sessions) = test_link();
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let attachment = soon(rendezvous.connect().attach(attach("s1"))).await.unwrap();
    let mut session = soon(sessions.recv()).await.unwrap();
    let push = SessionPush { attempt: 1, base: SeqNum::ROOT, events: vec![event(4_000_000)] };
    attachment.sender.send(SessionMessage::Push(push.clone())).unwrap();
    drop(attachment.sender);
    assert_eq!(soon(session.messages.recv()).await, Some(SessionMessage::Push(push)));
    assert_eq!(soon(session.messages.recv()).await, None);
    assert_eq!(soon(attachment.items.collect::<Vec<_>>()).await, []);
}

/// A push that no leader would take in is refused where it is made, instead of breaking the connection.
#[tokio::test]
async fn a_push_beyond_the_bound_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    // Too little for what leaders say.
    config.max_frame_bytes = 1000;
    let rendezvous = LocalRendezvous::new(dir.path(), config);
    let (link, mut sessions) = test_link();
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let attachment = soon(rendezvous.connect().attach(attach("s1"))).await.unwrap();
    let mut session = soon(sessions.recv()).await.unwrap();
    let push = |bytes| SessionPush { attempt: 1, base: SeqNum::ROOT, events: vec![event(bytes)] };
    let refused = attachment.sender.send(SessionMessage::Push(push(LEAST_FRAME_BYTES))).unwrap_err();
    assert!(
        matches!(&refused, LinkError::Refused(why) if why.contains(&format!("at most {LEAST_FRAME_BYTES}"))),
        "{refused}"
    );
    let largest = push(LEAST_FRAME_BYTES - 1000);
    attachment.sender.send(SessionMessage::Push(largest.clone())).unwrap();
    assert_eq!(soon(session.messages.recv()).await, Some(SessionMessage::Push(largest)));
}

/// Attaching may be given up at every point: what is left of it is never attached after the next one, which that would
/// end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_attach_that_was_given_up_never_comes_after_the_next() {
    const ROUNDS: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let (link, mut sessions) = test_link();
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let link = rendezvous.connect();
    let labelled = |label: String| Attach { label: label.into(), ..attach("s1") };
    for round in 0..ROUNDS {
        // Given up after so many polls, each of which may get further.
        let mut given_up = link.attach(labelled(format!("{round} given up")));
        let mut polls = round % 8;
        std::future::poll_fn(|cx| {
            if polls == 0 || given_up.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            polls -= 1;
            Poll::Pending
        })
        .await;
        drop(given_up);
        drop(soon(link.attach(labelled(format!("{round} kept")))).await.unwrap());
    }
    let (mut kept, mut given_up) = (0, 0);
    while kept < ROUNDS {
        let label = soon(sessions.recv()).await.unwrap().attach.label;
        let (round, what) = label.split_once(' ').unwrap();
        assert!(round.parse::<usize>().unwrap() >= kept, "{label} came after {kept} others were kept");
        match what {
            "kept" => kept += 1,
            _ => given_up += 1,
        }
    }
    assert!(given_up > 0, "no attach was given up late enough to matter");
}

/// Fifty sessions are served at once.
#[tokio::test]
async fn many_sessions_are_served_at_once() {
    const SESSIONS: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let (link, mut sessions) = test_link();
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let link = rendezvous.connect();
    let attaching = (0..SESSIONS).map(|n| {
        let link = link.clone();
        async move { (link.attach(attach(&format!("s{n}"))).await.unwrap(), link.reports().await.unwrap()) }
    });
    let mut attached = soon(futures::future::join_all(attaching)).await;
    let mut theirs = Vec::new();
    for _ in 0..SESSIONS {
        theirs.push(soon(sessions.recv()).await.unwrap());
    }
    for (attachment, reports) in &mut attached {
        attachment.sender.send(SessionMessage::Taken).unwrap();
        assert!(soon(reports.next()).await.is_some());
    }
    for session in &mut theirs {
        assert_eq!(soon(session.messages.recv()).await, Some(SessionMessage::Taken));
        session.items.send(item(7)).unwrap();
    }
    for (attachment, _) in &mut attached {
        assert_eq!(soon(attachment.items.next()).await, Some(item(7)));
    }
}

/// A session that reads nothing is detached after a while; the others never wait for it.
#[tokio::test(start_paused = true)]
async fn a_session_that_stands_still_is_detached() {
    let dir = tempfile::tempdir().unwrap();
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let (link, mut sessions) = test_link();
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let link = rendezvous.connect();
    let stands_still = link.attach(attach("s1")).await.unwrap();
    let mut session = sessions.recv().await.unwrap();
    let mut other = link.attach(attach("s2")).await.unwrap();
    let other_session = sessions.recv().await.unwrap();

    let mut large = item(1);
    large.payload = SessionPayload::Advance {
        after: SeqNum::ROOT,
        events: [event(8_000_000)].into(),
        settled: SeqNum::ROOT,
    };
    session.items.send(large).unwrap();
    other_session.items.send(item(2)).unwrap();
    assert_eq!(other.items.next().await, Some(item(2)));
    let started = tokio::time::Instant::now();
    assert_eq!(session.messages.recv().await, None);
    assert!(started.elapsed() >= config().stall_timeout - Duration::from_secs(1));
    other_session.items.send(item(3)).unwrap();
    assert_eq!(other.items.next().await, Some(item(3)));
    // What it missed is no item; it attaches again.
    assert_eq!(stands_still.items.collect::<Vec<_>>().await, []);
}

/// Closing the rendezvous ends every attachment, and later uses of the link say that the leader is gone.
#[tokio::test]
async fn closing_ends_everything() {
    let dir = tempfile::tempdir().unwrap();
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let (link, mut sessions) = test_link();
    let open = rendezvous.open(Arc::new(link)).await.unwrap();
    let link = rendezvous.connect();
    let mut attachment = soon(link.attach(attach("s1"))).await.unwrap();
    let mut session = soon(sessions.recv()).await.unwrap();
    let mut reports = soon(link.reports()).await.unwrap();
    assert!(soon(reports.next()).await.is_some());
    drop(open);
    assert_eq!(soon(session.messages.recv()).await, None);
    assert_eq!(soon(attachment.items.next()).await, None);
    assert_eq!(soon(reports.next()).await, None);
    assert!(matches!(attachment.sender.send(SessionMessage::Taken), Err(LinkError::Gone)));
    assert!(matches!(soon(link.attach(attach("s1"))).await, Err(LinkError::Gone)));
    assert!(matches!(soon(link.sync_now()).await, Err(LinkError::Gone)));
}
