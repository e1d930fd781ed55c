//! What happens to a store while it takes over, or while the leader that it follows changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join;
use futures::{FutureExt, StreamExt};
use livestore_backend_memory::MemoryBackend;
use livestore_engine::processor::LeaderStatus;
use livestore_engine::runtime::{LeaderFailure, RecoveryError};
use livestore_engine::{NotConfirmed, Presence, ShutdownError, StartError, Store};
use livestore_eventlog_memory::MemoryEventlog;
use livestore_integration::{draft, line, read, schema};
use livestore_leader_memory::MemoryRendezvous;
use livestore_traits::{EventlogError, LeaderElection, LeaderLink, LinkError, OpenRendezvous, Rendezvous};
use livestore_transport_memory::Network;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::client::{Client, LIMIT};

/// Two stores of one client: one leads, the other follows.
async fn pair(client: &Client, backend: &MemoryBackend) -> (Store, Store) {
    let leads = client.join(backend.clone(), None).await.unwrap();
    let follows = client.join(backend.clone(), None).await.unwrap();
    assert_eq!((leads.presence(), follows.presence()), (Presence::Here, Presence::Elsewhere));
    (leads, follows)
}

/// A store that has been elected and waits for its log to open.
async fn taking_over(client: &Client, backend: &MemoryBackend) -> Store {
    let (leads, follows) = pair(client, backend).await;
    client.rig.hold();
    drop(leads);
    client.rig.is_waited_for().await;
    follows
}

async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            yield_now().await;
        }
    };
    timeout(LIMIT, met).await.expect("the condition is met");
}

#[tokio::test]
async fn a_shutdown_during_a_take_over_leaves_nothing_open() {
    let (client, backend) = (Client::default(), MemoryBackend::new());
    let store = taking_over(&client, &backend).await;
    let mut shutdown = Box::pin(store.shutdown(LIMIT));
    for _ in 0..100 {
        yield_now().await;
        assert!((&mut shutdown).now_or_never().is_none(), "the log is about to be opened");
    }
    client.rig.release();
    shutdown.await.unwrap();
    assert_eq!(client.rig.open_handles(), 0, "the log is closed");
    assert!(client.election.try_acquire().await.unwrap().is_some(), "leadership was given up");
}

#[tokio::test]
async fn a_store_that_is_dropped_during_a_take_over_leaves_the_way_free() {
    let (client, backend) = (Client::default(), MemoryBackend::new());
    drop(taking_over(&client, &backend).await);
    client.rig.release();
    let next = client.join(backend, None).await.unwrap();
    assert_eq!(next.presence(), Presence::Here);
    assert_eq!(client.rig.open_handles(), 1);
}

#[tokio::test]
async fn commits_and_sessions_wait_for_a_take_over() {
    let (client, backend) = (Client::default(), MemoryBackend::new());
    let store = taking_over(&client, &backend).await;
    let receipt = store.commit([line("a"), draft("of a")]).unwrap();
    assert_eq!(read(&store).lines, ["a"]);
    let mut opening = Box::pin(store.open_session(Default::default()));
    assert!((&mut opening).now_or_never().is_none());
    assert!(matches!(store.presence(), Presence::Absent { led_by: Some(_) }), "{:?}", store.presence());
    client.rig.release();
    receipt.confirmed().await.unwrap();
    let session = opening.await.unwrap();
    session.wait_for(|session| session.settled_head.global.0 == 1).await.unwrap();
    assert_eq!(read(&session), read(&store));
}

/// What this process takes to begin is not somebody else's silence.
#[tokio::test]
async fn a_take_over_that_takes_long_is_no_silence() {
    let (client, backend) = (Client::default(), MemoryBackend::new());
    let store = taking_over(&client, &backend).await;
    let (mut presence, moment) = (store.watch_presence(), Duration::from_millis(1));
    timeout(50 * moment, presence.unreachable(moment)).await.expect_err("nobody else is waited for");
    client.rig.release();
    store.commit([line("a")]).unwrap().confirmed().await.unwrap();
}

/// A place that cannot be opened yet, or not at all.
#[derive(Debug)]
struct Door {
    place: MemoryRendezvous,
    is_broken: bool,
    is_tried: AtomicBool,
}

impl Door {
    fn new(client: &Client, is_broken: bool) -> Arc<Self> {
        Arc::new(Self { place: client.rendezvous.clone(), is_broken, is_tried: AtomicBool::new(false) })
    }
}

#[async_trait]
impl Rendezvous for Door {
    async fn open(&self, _: Arc<dyn LeaderLink>) -> Result<Box<dyn OpenRendezvous>, LinkError> {
        self.is_tried.store(true, Ordering::SeqCst);
        match self.is_broken {
            true => Err(LinkError::Link("there is no such place".into())),
            false => std::future::pending().await,
        }
    }
    fn connect(&self) -> Arc<dyn LeaderLink> {
        self.place.connect()
    }
}

#[tokio::test]
async fn a_shutdown_while_the_rendezvous_opens_leaves_nothing_open() {
    let (client, backend) = (Client::default(), MemoryBackend::new());
    let leads = client.join(backend.clone(), None).await.unwrap();
    let door = Door::new(&client, false);
    let store = client.builder().upstream(backend).rendezvous(door.clone()).start().await.unwrap();
    drop(leads);
    until(|| door.is_tried.load(Ordering::SeqCst)).await;
    store.shutdown(LIMIT).await.unwrap();
    assert_eq!(client.rig.open_handles(), 0, "the log is closed");
    assert!(client.election.try_acquire().await.unwrap().is_some(), "leadership was given up");
}

#[tokio::test]
async fn a_rendezvous_that_cannot_be_opened_leaves_nothing_open() {
    let client = Client::default();
    let error = client.builder().rendezvous(Door::new(&client, true)).start().await.unwrap_err();
    assert!(matches!(error, StartError::Leader(LinkError::Link(_))), "{error:?}");
    assert_eq!(client.rig.open_handles(), 0, "the log is closed");
    client.builder().start().await.unwrap();
}

/// Two such stores would take turns at fencing each other.
#[tokio::test]
async fn a_rendezvous_needs_an_election() {
    let store = Store::builder("notebook".parse().unwrap())
        .eventlog(MemoryEventlog::new())
        .states(schema())
        .rendezvous(Client::default().rendezvous);
    let error = store.start().await.unwrap_err();
    assert!(matches!(error, StartError::Missing(what) if what.contains("election")), "{error}");
}

/// They went on with the status of whoever led next.
#[tokio::test]
async fn reports_of_a_leader_end_with_it() {
    let (client, backend) = (Client::with_lease(), MemoryBackend::new());
    let (leads, follows) = pair(&client, &backend).await;
    let mut reports = leads.link().reports().await.unwrap();
    client.election.stall();
    follows.commit([line("a")]).unwrap().persisted().await.unwrap();
    let ends = async { while reports.next().await.is_some() {} };
    timeout(LIMIT, ends).await.expect("they end");
}

/// An application's buttons are not pressed in its runtime.
#[tokio::test]
async fn syncing_now_can_be_asked_for_anywhere() {
    let (client, backend) = (Client::default(), MemoryBackend::new());
    let store = client.join(backend.clone(), None).await.unwrap();
    let revision = store.watch_status().current().revision;
    std::thread::spawn({
        let store = store.clone();
        move || store.sync_now()
    })
    .join()
    .unwrap();
    let asked = async { store.watch_status().wait_for(|leader| leader.revision > revision).await };
    timeout(LIMIT, asked).await.expect("the leader is asked").unwrap();
}

/// A leadership that expired while its log was being opened is of no use; the store follows whoever leads.
#[tokio::test]
async fn a_leader_that_was_replaced_before_it_began_follows() {
    let (client, backend) = (Client::with_lease(), MemoryBackend::new());
    let late = taking_over(&client, &backend).await;
    let receipt = late.commit([line("a")]).unwrap();
    client.election.stall();
    // Another process, whose log opens at once.
    let other = Client { rig: Arc::default(), ..client.clone() };
    let leads = other.join(backend, None).await.unwrap();
    leads.commit([line("b")]).unwrap().confirmed().await.unwrap();
    client.rig.release();
    receipt.confirmed().await.unwrap();
    assert_eq!((leads.presence(), late.presence()), (Presence::Here, Presence::Elsewhere));
    assert_eq!(read(&late).lines, ["b", "a"]);
    assert_eq!(client.rig.open_handles(), 0);
}

/// The same for one that is only starting.
#[tokio::test]
async fn a_store_that_loses_leadership_while_it_starts_follows() {
    let (client, backend) = (Client::with_lease(), MemoryBackend::new());
    client.rig.hold();
    let late = tokio::spawn({
        let (client, backend) = (client.clone(), backend.clone());
        async move { client.join(backend, None).await }
    });
    client.rig.is_waited_for().await;
    client.election.stall();
    let other = Client { rig: Arc::default(), ..client.clone() };
    let leads = other.join(backend, None).await.unwrap();
    client.rig.release();
    let late = late.await.unwrap().unwrap();
    assert_eq!((leads.presence(), late.presence()), (Presence::Here, Presence::Elsewhere));
    late.commit([line("a")]).unwrap().confirmed().await.unwrap();
}

#[tokio::test]
async fn a_follower_syncs_across_a_change_of_leader() {
    let (client, network) = (Client::default(), Network::new(0));
    let backend = MemoryBackend::new();
    let ways = ["first", "second"].map(|name| network.connect(Arc::new(backend.clone()), name));
    network.partition();
    let [first, second] = ways.map(|way| client.join(way, None));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let kept = first.commit([line("a")]).unwrap();
    kept.persisted().await.unwrap();
    second.commit([line("b")]).unwrap().persisted().await.unwrap();
    let mut synced = Box::pin(second.synced());
    assert!((&mut synced).now_or_never().is_none());
    drop(first);
    until(|| second.presence() == Presence::Here).await;
    assert!((&mut synced).now_or_never().is_none(), "nothing is confirmed yet");
    network.heal();
    let status = timeout(LIMIT, synced).await.expect("it ends").unwrap();
    assert_eq!((status.pending_events, status.upstream_head.global.0), (0, 2));
    assert_eq!(read(&second).lines, ["a", "b"]);
}

#[tokio::test]
async fn changes_and_status_last_as_long_as_the_store() {
    let (client, backend) = (Client::with_lease(), MemoryBackend::new());
    let (other, store) = pair(&client, &backend).await;
    let (mut changes, mut status) = (store.changes(), store.watch_status());
    for n in 0..10 {
        client.election.stall();
        other.commit([line(format!("{n}"))]).unwrap().confirmed().await.unwrap();
        while read(&store).lines.len() <= n {
            changes.next().await.expect("the store lives");
        }
        let is_there = |status: &LeaderStatus| status.settled_head.global.0 == n as u64 + 1;
        status.wait_for(is_there).await.expect("the store lives");
    }
    store.shutdown(LIMIT).await.unwrap();
    while changes.next().await.is_ok() {}
    while status.changed().await.is_some() {}
}

#[tokio::test]
async fn of_stores_that_start_at_once_one_leads() {
    for _ in 0..20 {
        let (client, backend) = (Client::default(), MemoryBackend::new());
        let (one, other) = join(client.join(backend.clone(), None), client.join(backend, None)).await;
        let (one, other) = (one.unwrap(), other.unwrap());
        let lead = [&one, &other].into_iter().filter(|store| store.presence() == Presence::Here);
        assert_eq!(lead.count(), 1);
        one.commit([line("a")]).unwrap().confirmed().await.unwrap();
        other.commit([line("b")]).unwrap().confirmed().await.unwrap();
        assert_eq!(client.rig.open_handles(), 1);
    }
}

#[tokio::test]
async fn a_leader_whose_log_fails_is_over_and_a_follower_goes_on() {
    let (client, backend) = (Client::default(), MemoryBackend::new());
    // Another process with the same log, whose disk works.
    let other = Client { rig: Arc::default(), ..client.clone() };
    let leads = client.join(backend.clone(), None).await.unwrap();
    let follows = other.join(backend, None).await.unwrap();
    client.rig.fail();
    let receipt = follows.commit([line("a")]).unwrap();
    receipt.confirmed().await.unwrap();
    assert_eq!((leads.presence(), follows.presence()), (Presence::Over, Presence::Here));
    let failure = leads.stopped().await.expect("why it is over");
    assert!(matches!(&*failure, LeaderFailure::Eventlog(EventlogError::Storage(_))), "{failure:?}");
    assert!(matches!(leads.shutdown(LIMIT).await, Err(ShutdownError::Failed(_))));
    assert!(follows.failure().is_none());
}

#[tokio::test]
async fn where_the_log_fails_for_everybody_everybody_says_so() {
    let (client, backend) = (Client::default(), MemoryBackend::new());
    let (leads, follows) = pair(&client, &backend).await;
    client.rig.fail();
    let receipt = follows.commit([line("a")]).unwrap();
    assert_eq!(timeout(LIMIT, receipt.persisted()).await.expect("it ends"), Err(NotConfirmed::Closed));
    for store in [leads, follows] {
        let failure = timeout(LIMIT, store.stopped()).await.expect("it ends").expect("why it is over");
        assert!(matches!(&*failure, LeaderFailure::Eventlog(EventlogError::Storage(_))), "{failure:?}");
        assert_eq!(store.presence(), Presence::Over);
        store.commit([line("late")]).unwrap_err();
    }
    let error = client.join(backend, None).await.unwrap_err();
    assert!(matches!(error, StartError::Recovery(RecoveryError::Eventlog(_))), "{error:?}");
}

/// A leader that was replaced may open its door after its successor did.
#[tokio::test]
async fn a_door_that_is_opened_late_hides_nobody_for_long() {
    let (client, backend) = (Client::default(), MemoryBackend::new());
    let leads = client.join(backend.clone(), None).await.unwrap();
    let late = Store::builder("other".parse().unwrap())
        .eventlog(MemoryEventlog::new())
        .states(schema())
        .start()
        .await
        .unwrap();
    drop(client.rendezvous.open(late.link()).await.unwrap());
    let follows = client.join(backend, None).await.unwrap();
    assert_eq!((leads.presence(), follows.presence()), (Presence::Here, Presence::Elsewhere));
}

/// A process that leads again and again: nothing of its earlier parts stays.
#[tokio::test]
async fn leadership_wanders_and_leaves_nothing_behind() {
    let (client, backend) = (Client::with_lease(), MemoryBackend::new());
    let (one, other) = pair(&client, &backend).await;
    for n in 0..20 {
        let term = one.store_status().leader.term;
        client.election.stall();
        let mut status = one.watch_status();
        let next = status.wait_for(|status| status.term > term);
        timeout(LIMIT, next).await.expect("somebody leads").unwrap();
        let receipt = if n % 2 == 0 { &one } else { &other }.commit([line(format!("{n}"))]).unwrap();
        timeout(LIMIT, receipt.confirmed()).await.expect("it is confirmed").unwrap();
    }
    one.synced().await.unwrap();
    other.synced().await.unwrap();
    assert_eq!(read(&one).lines.len(), 20);
    assert_eq!(read(&one).lines, read(&other).lines);
    until(|| client.rig.open_handles() == 1).await;
    one.shutdown(Duration::ZERO).await.unwrap();
    other.shutdown(LIMIT).await.unwrap();
    assert_eq!(client.rig.open_handles(), 0);
}
