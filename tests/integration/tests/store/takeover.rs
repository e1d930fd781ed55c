//! Several stores share one client: one leads, the others follow, and one of them takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use livestore_backend_memory::MemoryBackend;
use livestore_engine::{Presence, StartError, Store, StoreBuilder};
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{draft, line, read, schema};
use livestore_leader_memory::{MemoryElection, MemoryRendezvous};
use livestore_traits::{EventlogError, StoreId};

use crate::support::{LIMIT, eager};

/// A client that several stores share.
#[derive(Clone, Default)]
struct Shared {
    storage: MemoryStorage,
    election: MemoryElection,
    rendezvous: MemoryRendezvous,
    backend: Option<MemoryBackend>,
    /// How often the log was opened.
    leaders: Arc<AtomicUsize>,
}

impl Shared {
    fn synced() -> Self {
        Self { backend: Some(MemoryBackend::new()), ..Self::default() }
    }

    fn builder(&self) -> StoreBuilder {
        let (storage, leaders) = (self.storage.clone(), self.leaders.clone());
        let builder = Store::builder(StoreId::new("notebook").unwrap())
            .config(eager())
            .election(self.election.clone())
            .rendezvous(self.rendezvous.clone())
            .open_eventlog(move || {
                leaders.fetch_add(1, Ordering::Relaxed);
                Ok(storage.open())
            })
            .states(schema());
        match &self.backend {
            Some(backend) => builder.upstream(backend.clone()),
            None => builder,
        }
    }

    async fn join(&self) -> Store {
        self.builder().start().await.unwrap()
    }
}

/// Waits until `store` shows `lines`.
async fn shows(store: &Store, lines: &[&str]) {
    let mut changes = store.changes();
    let shown = async {
        while read(store).lines != lines {
            changes.next().await.unwrap();
        }
    };
    let shown = tokio::time::timeout(LIMIT, shown).await;
    assert!(shown.is_ok(), "{:?} instead of {lines:?}", read(store).lines);
}

#[tokio::test]
async fn one_leads_and_the_others_follow() {
    let shared = Shared::synced();
    let leads = shared.join().await;
    let follows = shared.join().await;
    assert_eq!((leads.presence(), follows.presence()), (Presence::Here, Presence::Elsewhere));
    follows.commit([line("a"), draft("of a")]).unwrap().confirmed().await.unwrap();
    leads.commit([line("b")]).unwrap().confirmed().await.unwrap();
    for store in [&leads, &follows] {
        shows(store, &["a", "b"]).await;
        assert_eq!(read(store).drafts, [(1, "of a".to_owned())]);
    }
    let status = follows.synced().await.unwrap();
    let sessions: Vec<_> = status.sessions.iter().map(|session| &session.session_id).collect();
    assert_eq!(sessions, [leads.session().id(), follows.session().id()]);
    assert!(status.label.contains("process"), "{}", status.label);
    assert!(matches!(follows.eventlog().await, Err(EventlogError::Refused(_))));
    assert_eq!(shared.leaders.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_follower_takes_over_from_a_leader_that_leaves() {
    let shared = Shared::synced();
    let (first, second) = (shared.join().await, shared.join().await);
    let kept = second.commit([line("before")]).unwrap();
    kept.persisted().await.unwrap();
    first.shutdown(LIMIT).await.unwrap();
    let between = second.commit([line("between")]).unwrap();
    between.confirmed().await.unwrap();
    kept.confirmed().await.unwrap();
    assert_eq!((second.presence(), first.presence()), (Presence::Here, Presence::Over));
    assert_eq!(read(&second).lines, ["before", "between"]);
    assert_eq!(second.store_status().leader.term.0, 2);
    assert!(second.eventlog().await.is_ok());
}

#[tokio::test]
async fn commits_go_on_while_leaders_come_and_go() {
    let shared = Shared::synced();
    let mut stores = vec![shared.join().await, shared.join().await, shared.join().await];
    let keeper = shared.join().await;
    let mut receipts = Vec::new();
    for n in 0..3 {
        for i in 0..20 {
            receipts.push(keeper.commit([line(format!("{n}.{i}"))]).unwrap());
            tokio::task::yield_now().await;
        }
        // As a crash does: nothing is waited for.
        drop(stores.remove(0));
    }
    for receipt in receipts {
        receipt.confirmed().await.unwrap();
    }
    let expected: Vec<String> = (0..3).flat_map(|n| (0..20).map(move |i| format!("{n}.{i}"))).collect();
    assert_eq!(read(&keeper).lines, expected);
    let newcomer = shared.join().await;
    assert_eq!(read(&newcomer).lines, expected);
}

#[tokio::test]
async fn a_leader_whose_lease_ends_follows_its_successor() {
    let shared =
        Shared { election: MemoryElection::with_lease(Duration::from_millis(1)), ..Shared::synced() };
    let (first, second) = (shared.join().await, shared.join().await);
    first.commit([line("a")]).unwrap().persisted().await.unwrap();
    shared.election.stall();
    let receipt = first.commit([line("b")]).unwrap();
    receipt.confirmed().await.unwrap();
    second.commit([line("c")]).unwrap().confirmed().await.unwrap();
    for store in [&first, &second] {
        shows(store, &["a", "b", "c"]).await;
    }
}

#[tokio::test]
async fn a_store_that_finds_no_leader_in_time_says_who_leads() {
    let shared = Shared::default();
    let _leadership = livestore_traits::LeaderElection::acquire(&shared.election).await.unwrap();
    let mut config = eager();
    config.leader_limit = Some(Duration::from_millis(50));
    let error = shared.builder().config(config).start().await.unwrap_err();
    assert!(matches!(&error, StartError::NoLeader { led_by: Some(_) }), "{error:?}");
    assert!(error.to_string().contains("term 1"), "{error}");
}
