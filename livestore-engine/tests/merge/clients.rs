//! Several clients through one backend, with lost batches, lost answers, refusals and pages cut anywhere, converge.

use std::collections::BTreeSet;

use livestore_engine::sync::{Amendment, Outcome, Payload, SyncState, merge};
use livestore_traits::{ClientId, Event, GlobalSeq};
use proptest::prelude::*;

use crate::accounts::{Accounts, Unit, check_units_are_whole};
use crate::leader::{unit, upstream};
use crate::log::{Log, Versions, at};

const CLIENTS: usize = 3;
/// Sessions per client.
const SESSIONS: usize = 2;
/// The content that the backend refuses.
const REFUSED: u8 = 9;

#[derive(Clone, Debug)]
enum Op {
    Commit { client: usize, session: usize, unit: Unit },
    Push { client: usize, units: usize, fate: Fate },
    Pull { client: usize, events: usize },
    Reopen { client: usize },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Answered,
    AnswerLost,
    BatchLost,
}

fn op() -> impl Strategy<Value = Op> {
    let fate =
        prop_oneof![3 => Just(Fate::Answered), 2 => Just(Fate::AnswerLost), 1 => Just(Fate::BatchLost)];
    let unit = prop_oneof![9 => unit(), 1 => Just(vec![(false, 0), (true, REFUSED), (true, 1)])];
    let client = 0..CLIENTS;
    prop_oneof![
        5 => (client.clone(), 0..SESSIONS, unit)
            .prop_map(|(client, session, unit)| Op::Commit { client, session, unit }),
        5 => (client.clone(), 1usize..4, fate)
            .prop_map(|(client, units, fate)| Op::Push { client, units, fate }),
        4 => (client.clone(), 1usize..5).prop_map(|(client, events)| Op::Pull { client, events }),
        1 => client.prop_map(|client| Op::Reopen { client }),
    ]
}

struct Client {
    id: ClientId,
    state: SyncState,
    log: Log,
    versions: Versions,
}

impl Client {
    fn merge(&mut self, payload: Payload) -> Outcome {
        let outcome = merge(&mut self.state, payload).unwrap();
        if let Outcome::Advance(change) | Outcome::Rebase(change) = &outcome {
            self.versions.note(change);
            self.log.apply(change, &self.state);
        }
        outcome
    }

    /// The synced events of the first pending units.
    fn batch(&self, units: usize) -> Vec<Event> {
        let mut left = units;
        let mut batch = Vec::new();
        for event in &self.state.pending {
            if event.num.is_synced() {
                batch.push(Event { num: at(event.num.global), is_own: false, ..event.clone() });
            }
            left -= usize::from(event.unit_end);
            if left == 0 {
                break;
            }
        }
        batch
    }
}

struct World {
    clients: Vec<Client>,
    backend: Vec<Event>,
    accounts: Accounts,
    is_native: bool,
}

/// What the backend says to a batch.
enum Answer {
    Stored,
    Ahead,
    Refused(Event),
}

impl World {
    fn new(is_native: bool) -> Self {
        let client = |index| {
            let log = Log::default();
            let id = ClientId::new(format!("client-{index}")).unwrap();
            Client { id, state: log.open(), log, versions: Versions::default() }
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { clients, backend: Vec::new(), accounts: Accounts::default(), is_native }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Commit { client, session, ref unit } => self.commit(client, session, unit),
            Op::Push { client, units, fate } => self.push(client, units, fate),
            Op::Pull { client, events } => self.pull(client, events),
            Op::Reopen { client } => self.clients[client].state = self.clients[client].log.open(),
        }
    }

    fn commit(&mut self, client: usize, session: usize, unit: &Unit) {
        let session = session_of(client, session);
        let client = &mut self.clients[client];
        let base = client.state.local_head;
        let (expected_n, mut events) = self.accounts.commit(session, unit, base);
        events.iter_mut().for_each(|event| {
            event.client_id = client.id.clone();
            event.is_own = true;
        });
        client.merge(Payload::LocalPush { base, expected_n, events });
    }

    fn push(&mut self, client: usize, units: usize, fate: Fate) {
        let batch = self.clients[client].batch(units);
        if batch.is_empty() || fate == Fate::BatchLost {
            return;
        }
        let parent = self.clients[client].state.upstream_head;
        let answer = self.admit(parent.global, &batch);
        if fate == Fate::AnswerLost {
            return;
        }
        match answer {
            Answer::Stored => {
                let payload = upstream(&self.clients[client].state, self.wire(batch), GlobalSeq::ROOT);
                let outcome = self.clients[client].merge(payload);
                assert!(matches!(outcome, Outcome::Advance(_)), "an acknowledgement rolled something back");
            }
            Answer::Ahead => {}
            Answer::Refused(event) => {
                let n = event.commit.unwrap().n;
                self.accounts.lose(event.session_id.as_str(), n);
                let drop = Amendment::Drop { session_id: event.session_id, commits: vec![n] };
                self.clients[client].merge(Payload::Amend(drop));
            }
        }
    }

    /// The rules of admission: idempotent, whole, on the head only.
    fn admit(&mut self, parent: GlobalSeq, batch: &[Event]) -> Answer {
        let after = &self.backend[parent.0 as usize..];
        let stands = after.len() >= batch.len()
            && after.iter().zip(batch).all(|(a, b)| {
                a.session_id == b.session_id && a.args == b.args && (!self.is_native || a.commit == b.commit)
            });
        if stands {
            return Answer::Stored;
        }
        if !after.is_empty() {
            return Answer::Ahead;
        }
        if let Some(refused) = batch.iter().find(|event| event.args.as_str() == "9") {
            return Answer::Refused(refused.clone());
        }
        self.backend.extend_from_slice(batch);
        Answer::Stored
    }

    fn wire(&self, mut events: Vec<Event>) -> Vec<Event> {
        if !self.is_native {
            events.iter_mut().for_each(|event| {
                event.commit = None;
                event.unit_end = true;
            });
        }
        events
    }

    fn pull(&mut self, client: usize, events: usize) {
        let known = self.clients[client].state.upstream_head.global.0 as usize;
        let page = self.wire(self.backend[known..].iter().take(events).cloned().collect());
        let payload = upstream(&self.clients[client].state, page, GlobalSeq::ROOT);
        self.clients[client].merge(payload);
    }

    /// No more faults: every client pulls and pushes until nothing is pending anywhere.
    fn heal(&mut self) {
        let is_done = |world: &Self| {
            let head = world.backend.len() as u64;
            world
                .clients
                .iter()
                .all(|client| client.state.pending.is_empty() && client.state.upstream_head.global.0 == head)
        };
        for _ in 0..1000 {
            if is_done(self) {
                return;
            }
            for client in 0..CLIENTS {
                self.pull(client, usize::MAX);
                self.push(client, 2, Fate::Answered);
            }
        }
        panic!("the clients do not come to rest");
    }

    fn check_convergence(&self) {
        check_units_are_whole(self.backend.iter());
        self.accounts.check(self.backend.iter(), |_, is_synced| is_synced);
        for (index, client) in self.clients.iter().enumerate() {
            let synced: Vec<_> = client.log.events.iter().filter(|event| event.num.is_synced()).collect();
            assert_eq!(synced.len(), self.backend.len(), "client {index} has another number of events");
            for (mine, theirs) in synced.iter().zip(&self.backend) {
                let content =
                    |event: &Event| (event.num.global, event.session_id.clone(), event.args.clone());
                assert_eq!(content(mine), content(theirs), "client {index} differs from the backend");
                // Over LiveStore's wire, too, it was this very event that was confirmed, not an equal one.
                assert!(!mine.is_own || mine.commit == theirs.commit, "confirmed by another event");
            }
            let own: BTreeSet<String> = (0..SESSIONS).map(|s| session_of(index, s).to_string()).collect();
            let own_events = client.log.events.iter().filter(|event| event.is_own);
            assert!(own_events.clone().all(|event| own.contains(event.session_id.as_str())));
            self.accounts.check(own_events, |session, _| own.contains(session));
        }
    }
}

fn session_of(client: usize, session: usize) -> char {
    char::from(b'a' + (client * SESSIONS + session) as u8)
}

proptest! {
    #![proptest_config(crate::cases(12_000))]

    #[test]
    fn clients_converge_and_lose_nothing(is_native: bool, ops in prop::collection::vec(op(), 1..40)) {
        let mut world = World::new(is_native);
        ops.iter().for_each(|op| world.run(op));
        world.heal();
        world.check_convergence();
    }
}
