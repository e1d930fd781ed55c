//! The clients of a script, the network between them and their backend, and what can be done to them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use livestore_backend_memory::MemoryBackend;
use livestore_engine::{Session, ShutdownError, Store};
use livestore_integration::line;
use livestore_traits::SessionId;
use livestore_transport_memory::{LinkConfig, Network};
use tokio::task::{JoinHandle, yield_now};

use crate::chance::Chance;
use crate::client::{Client, LIMIT, Open, options, watch};
use crate::ledger::{Account, End};

/// Stores of a client at a time.
const MOST_STORES: usize = 3;

/// Sessions of a store at a time.
const MOST_SESSIONS: usize = 3;

/// A client with those of its stores that are open.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) client: Client,
    pub(crate) stores: Vec<Open>,
    /// Ids of sessions that have ended.
    retired: Vec<SessionId>,
}

/// A store that is being shut down.
type Closing = JoinHandle<Result<(), ShutdownError>>;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) backend: MemoryBackend,
    pub(crate) members: Vec<Member>,
    pub(crate) accounts: Vec<Account>,
    chance: Chance,
    network: Network,
    ids: usize,
    /// Each with the accounts of its sessions.
    closing: Vec<(Closing, Vec<usize>)>,
    watches: Vec<JoinHandle<()>>,
    /// What was done so far, for people.
    told: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) fn new(seed: u64, told: Arc<Mutex<Vec<String>>>) -> Self {
        let mut chance = Chance::new(seed);
        let network = Network::new(seed);
        network.configure(chance.links());
        let members = (0..2 + chance.of(2)).map(|_| {
            let client = if chance.percent(50) { Client::with_lease() } else { Client::default() };
            if chance.percent(30) {
                client.rig.slow_down(Duration::from_millis(2));
            }
            Member { client, stores: Vec::new(), retired: Vec::new() }
        });
        Self {
            backend: MemoryBackend::new(),
            members: members.collect(),
            accounts: Vec::new(),
            chance,
            network,
            ids: 0,
            closing: Vec::new(),
            watches: Vec::new(),
            told,
        }
    }

    /// Does the next thing, whatever that is.
    pub(crate) async fn step(&mut self) {
        let at = self.chance.of(self.members.len());
        if self.members[at].stores.is_empty() {
            return self.join(at).await;
        }
        match self.chance.of(100) {
            0..40 => self.commit(at),
            40..48 => self.pause().await,
            48..52 => self.wait_for_one(at).await,
            52..58 => self.join(at).await,
            58..60 => self.join_in_vain(at).await,
            60..67 => self.open_session(at).await,
            67..71 => self.drop_session(at),
            71..76 => self.crash(at),
            76..80 => self.shut_down(at),
            80..84 => self.stall(at),
            84..85 => self.restart(at).await,
            85..97 => self.disturb(at),
            _ => self.sync_now(at),
        }
        self.accounts.iter_mut().for_each(Account::look);
    }

    fn tell(&self, what: impl Into<String>) {
        self.told.lock().unwrap().push(what.into());
    }

    /// Several commits of one session, one after the other.
    fn commit(&mut self, at: usize) {
        let store = self.chance.of(self.members[at].stores.len());
        let session = self.chance.of(self.members[at].stores[store].sessions.len());
        let (session, account) = self.members[at].stores[store].sessions[session].clone();
        let count = if self.chance.percent(80) { 1 } else { 2 + self.chance.of(20) };
        for _ in 0..count {
            let account = &mut self.accounts[account];
            let name = format!("{at}.{}.{}", account.session_id, account.commits.len());
            account.commit(&session, self.chance.unit(&name));
        }
        self.tell(format!("client {at}: {} commits {count}", session.id()));
    }

    /// Lets others run.
    async fn pause(&mut self) {
        let turns = 1 + self.chance.of(30);
        self.tell(format!("{turns} turns pass"));
        for _ in 0..turns {
            yield_now().await;
        }
    }

    /// Waits until everything that a session has committed is persisted: somebody leads, or will.
    async fn wait_for_one(&mut self, at: usize) {
        let store = self.chance.of(self.members[at].stores.len());
        let (session, _) = self.members[at].stores[store].sessions[0].clone();
        self.tell(format!("client {at}: {} is persisted", session.id()));
        session.wait_for(|session| session.pending_events == 0).await.unwrap();
    }

    /// One store more, or two at once.
    async fn join(&mut self, at: usize) {
        let room = MOST_STORES - self.members[at].stores.len();
        let count = room.min(if self.chance.percent(70) { 1 } else { 2 });
        let ids: Vec<_> = (0..count).map(|_| self.session_id(at)).collect();
        self.tell(format!("client {at}: stores with {ids:?} join"));
        let network = self.network.clone();
        let (client, backend) = (self.members[at].client.clone(), Arc::new(self.backend.clone()));
        let stores = ids.into_iter().enumerate().map(|(nth, id)| {
            let link = format!("{at}:{}", self.ids * 10 + nth);
            let way = network.connect(backend.clone(), &link);
            let store = client.join(way, Some(id));
            async move { (link, store.await.unwrap()) }
        });
        for (link, store) in join_all(stores).await {
            let sessions = vec![self.begin(at, store.session())];
            let watch = watch(&store);
            self.members[at].stores.push(Open { store, link, sessions, watch });
        }
        self.ids += 1;
    }

    /// A store that is given up while it starts.
    async fn join_in_vain(&mut self, at: usize) {
        let turns = self.chance.of(20);
        self.tell(format!("client {at}: a store joins and is given up after {turns} turns"));
        let backend = self.network.connect(Arc::new(self.backend.clone()), "in vain");
        let client = self.members[at].client.clone();
        let given_up = async {
            for _ in 0..turns {
                yield_now().await;
            }
        };
        tokio::select! {
            store = client.join(backend, None) => drop(store.unwrap()),
            () = given_up => {}
        }
    }

    /// An id for a session: a new one, or that of one that has ended.
    fn session_id(&mut self, at: usize) -> SessionId {
        if self.chance.percent(40)
            && let Some(id) = self.chance.take(&mut self.members[at].retired)
        {
            return id;
        }
        self.ids += 1;
        format!("s{}", self.ids).parse().unwrap()
    }

    fn begin(&mut self, at: usize, session: &Session) -> (Session, usize) {
        self.accounts.push(Account::new(at, session));
        (session.clone(), self.accounts.len() - 1)
    }

    /// One session more; sometimes with the id of one that lives, which ends that one.
    async fn open_session(&mut self, at: usize) {
        let nth = self.chance.of(self.members[at].stores.len());
        let live = &self.members[at].stores[nth].sessions;
        if live.len() == MOST_SESSIONS {
            return;
        }
        let twin = (live.len() > 1 && self.chance.percent(20)).then(|| live.len() - 1);
        let session_id = match twin {
            Some(twin) => {
                let (_, account) = self.members[at].stores[nth].sessions.remove(twin);
                self.accounts[account].end = End::AtOnce;
                self.accounts[account].session_id.clone()
            }
            None => self.session_id(at),
        };
        self.tell(format!("client {at}: {session_id} is opened, twin: {}", twin.is_some()));
        let store = self.members[at].stores[nth].store.clone();
        let session = store.open_session(options(Some(session_id))).await.unwrap();
        let session = self.begin(at, &session);
        self.members[at].stores[nth].sessions.push(session);
    }

    /// A session goes, and what it had not persisted.
    fn drop_session(&mut self, at: usize) {
        let nth = self.chance.of(self.members[at].stores.len());
        let open = &mut self.members[at].stores[nth];
        if open.sessions.len() > 1
            && let Some((session, account)) = open.sessions.pop()
        {
            self.accounts[account].end = End::AtOnce;
            self.members[at].retired.push(session.id().clone());
            let id = session.id().clone();
            drop(session);
            self.tell(format!("client {at}: {id} is dropped"));
        }
    }

    /// A store goes without a word, as in a crash.
    fn crash(&mut self, at: usize) {
        let nth = self.chance.of(self.members[at].stores.len());
        let Open { store, link, sessions, watch } = self.members[at].stores.swap_remove(nth);
        self.tell(format!("client {at}: {} crashes, {:?}", store.session().id(), store.presence()));
        // A crashed process is not heard of any more.
        self.network.link(&link).unwrap().partition();
        for (session, account) in sessions {
            self.accounts[account].end = End::AtOnce;
            self.members[at].retired.push(session.id().clone());
        }
        drop(store);
        self.watches.push(watch);
    }

    /// A store is shut down while everything else goes on.
    fn shut_down(&mut self, at: usize) {
        let nth = self.chance.of(self.members[at].stores.len());
        let Open { store, sessions, watch, .. } = self.members[at].stores.swap_remove(nth);
        self.tell(format!("client {at}: {} is shut down, {:?}", store.session().id(), store.presence()));
        let accounts = sessions.iter().map(|(_, account)| *account).collect();
        let closing = tokio::spawn(async move {
            let closed = store.shutdown(LIMIT).await;
            // Until then: a session that is dropped ends at once.
            drop(sessions);
            closed
        });
        self.closing.push((closing, accounts));
        self.watches.push(watch);
    }

    /// The leader loses leadership, if the client's leaders can.
    fn stall(&mut self, at: usize) {
        self.tell(format!("client {at}: its leader stalls"));
        self.members[at].client.election.stall();
    }

    /// All stores of a client go at once, and one comes again.
    async fn restart(&mut self, at: usize) {
        while !self.members[at].stores.is_empty() {
            self.crash(at);
        }
        self.join(at).await;
    }

    /// Something happens to a store's way to the backend, or to all.
    fn disturb(&mut self, at: usize) {
        let store = self.chance.of(self.members[at].stores.len());
        let link = self.network.link(&self.members[at].stores[store].link).unwrap();
        let what = match self.chance.of(6) {
            0 => {
                link.partition();
                "cut off"
            }
            1 => {
                link.lose_answers();
                "not answered"
            }
            2 => {
                link.silence();
                "not heard"
            }
            _ => {
                link.heal();
                "reachable"
            }
        };
        self.tell(format!("{} is {what}", link.name()));
    }

    fn sync_now(&mut self, at: usize) {
        let store = self.chance.of(self.members[at].stores.len());
        self.tell(format!("client {at} syncs now"));
        self.members[at].stores[store].store.sync_now();
    }

    /// Ends all faults, waits for what still runs, and sees to it that every client has a store.
    pub(crate) async fn heal(&mut self) {
        self.tell("faults end");
        self.network.configure(LinkConfig { timeout: LIMIT, ..LinkConfig::default() });
        self.network.heal();
        for at in 0..self.members.len() {
            if self.members[at].stores.is_empty() {
                self.join(at).await;
            }
        }
        for (closing, accounts) in std::mem::take(&mut self.closing) {
            closing.await.unwrap().expect("a shutdown persists everything");
            for account in accounts {
                self.accounts[account].end = End::InOrder;
            }
        }
        for watch in std::mem::take(&mut self.watches) {
            // It ends with the store.
            watch.await.unwrap();
        }
    }

    /// Everybody is confirmed, and has what the others had.
    pub(crate) async fn sync(&mut self) {
        self.tell("everybody syncs");
        for store in self.stores() {
            store.synced().await.unwrap();
        }
        // After it everybody's order ends with it, if nothing is lost on the way.
        let last = self.stores()[0].commit([line("the end")]).unwrap().confirmed().await.unwrap();
        self.tell(format!("the end is {last}"));
        for store in self.stores() {
            let there = |at: livestore_traits::SeqNum| at.global == last.global;
            store.watch_status().wait_for(|status| there(status.settled_head)).await.unwrap();
            store.wait_for(|session| there(session.settled_head)).await.unwrap();
        }
        for (session, _) in self.sessions() {
            let done = session.wait_for(|session| {
                session.attached
                    && session.settled_head.global == last.global
                    && session.pending_events == 0
                    && session.unconfirmed_commits == 0
            });
            done.await.unwrap();
        }
    }

    pub(crate) fn stores(&self) -> Vec<Store> {
        self.members.iter().flat_map(|member| &member.stores).map(|open| open.store.clone()).collect()
    }

    fn sessions(&self) -> Vec<(Session, usize)> {
        let stores = self.members.iter().flat_map(|member| &member.stores);
        stores.flat_map(|open| open.sessions.clone()).collect()
    }

    /// All stores are closed, one after the other; then each client is opened once more, without a network.
    pub(crate) async fn reopen(&mut self) -> Vec<Store> {
        self.tell("everybody starts again");
        let mut reopened = Vec::new();
        for member in &mut self.members {
            for open in std::mem::take(&mut member.stores) {
                open.store.shutdown(LIMIT).await.unwrap();
                drop((open.store, open.sessions));
                open.watch.await.unwrap();
            }
            let store = member.client.builder().start().await.unwrap();
            assert_eq!(store.presence(), livestore_engine::Presence::Here);
            reopened.push(store);
        }
        reopened
    }
}
