//! Two sessions of one leader over everything that can happen between them, against a session that remembers all of its
//! leader's log and takes it in event by event: payloads cut anywhere, delivered twice, answers lost, refusals, rebases.

mod reference;
mod session;

use livestore_engine::sync::{Amendment, Outcome, Payload, SyncState, merge};
use livestore_traits::{CommitRef, Event, GlobalSeq, SeqNum};
use proptest::prelude::*;

use crate::accounts::{Accounts, Unit};
use crate::leader::{unit, upstream};
use crate::log::{Log, Versions, at};
use crate::notation::{args, event};

use self::session::{Item, Session, advance};

#[derive(Clone, Debug)]
enum Op {
    /// The application commits at a session.
    Commit { session: usize, unit: Unit },
    /// A session sends its first pending units.
    Push { session: usize, units: usize },
    /// The leader takes the push, or refuses it; its answer may get lost, and the session then asks anew.
    Serve { session: usize, is_answered: bool },
    /// The leader sends what the session lacks, this many events at most.
    Emit { session: usize, events: usize },
    /// A session merges the next item, maybe twice.
    Deliver { session: usize, is_repeated: bool },
    /// The link is made anew.
    Attach { session: usize },
    /// A session takes over a copy of the leader's state.
    Snapshot { session: usize },
    /// Another client's event enters the backend.
    Foreign { content: u8 },
    /// The leader pulls.
    Pull { events: usize },
    /// The leader's first pending units are stored by the backend.
    LeaderPush { units: usize },
    /// The backend refuses a unit.
    Drop { unit: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let session = || 0usize..2;
    prop_oneof![
        6 => (session(), unit()).prop_map(|(session, unit)| Op::Commit { session, unit }),
        6 => (session(), 1usize..4).prop_map(|(session, units)| Op::Push { session, units }),
        6 => (session(), prop::bool::weighted(0.8))
            .prop_map(|(session, is_answered)| Op::Serve { session, is_answered }),
        5 => (session(), 0usize..6).prop_map(|(session, events)| Op::Emit { session, events }),
        8 => (session(), prop::bool::weighted(0.2))
            .prop_map(|(session, is_repeated)| Op::Deliver { session, is_repeated }),
        1 => session().prop_map(|session| Op::Attach { session }),
        1 => session().prop_map(|session| Op::Snapshot { session }),
        3 => (0u8..3).prop_map(|content| Op::Foreign { content }),
        4 => (0usize..4).prop_map(|events| Op::Pull { events }),
        3 => (1usize..4).prop_map(|units| Op::LeaderPush { units }),
        1 => (0usize..4).prop_map(|unit| Op::Drop { unit }),
    ]
}

struct World {
    state: SyncState,
    log: Log,
    versions: Versions,
    accounts: Accounts,
    persisted: [u64; 2],
    sessions: [Session; 2],
    backend: Vec<Event>,
    foreign: u64,
}

impl World {
    fn new() -> Self {
        let log = Log::default();
        Self {
            state: log.open(),
            log,
            versions: Versions::default(),
            accounts: Accounts::default(),
            persisted: [0; 2],
            sessions: [Session::new('a'), Session::new('b')],
            backend: Vec::new(),
            foreign: 0,
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Commit { session, ref unit } => self.commit(session, unit),
            Op::Push { session, units } => self.push(session, units),
            Op::Serve { session, is_answered } => self.serve(session, is_answered),
            Op::Emit { session, events } => self.emit(session, events),
            Op::Deliver { session, is_repeated } => self.deliver(session, is_repeated),
            Op::Attach { session } => self.attach(session),
            Op::Snapshot { session } => self.snapshot(session),
            Op::Foreign { content } => self.foreign(content),
            Op::Pull { events } => self.pull(events),
            Op::LeaderPush { units } => self.leader_push(units),
            Op::Drop { unit } => self.drop_unit(unit),
        }
    }

    fn commit(&mut self, session: usize, unit: &Unit) {
        let session = &mut self.sessions[session];
        let base = session.state.local_head;
        let (expected_n, events) = self.accounts.commit(session.name, unit, base);
        session.reference.pending.extend(events.iter().cloned());
        let outcome = merge(&mut session.state, Payload::LocalPush { base, expected_n, events }).unwrap();
        session.follow(&outcome);
    }

    fn push(&mut self, session: usize, units: usize) {
        let session = &mut self.sessions[session];
        if session.is_waiting || session.state.pending.is_empty() {
            return;
        }
        let ends = session.state.pending.iter().enumerate().filter(|(_, event)| event.unit_end);
        let len = ends.map(|(index, _)| index + 1).take(units).last().unwrap();
        let events = session.state.pending.iter().take(len).cloned().collect();
        session.outbox = Some((session.state.upstream_head, events));
        session.is_waiting = true;
    }

    fn serve(&mut self, session: usize, is_answered: bool) {
        let Some((base, events)) = self.sessions[session].outbox.take() else { return };
        let pushed = events.len();
        let last_n = events.last().unwrap().commit.unwrap().n;
        let expected_n = self.persisted[session] + 1;
        let outcome = self.merge(Payload::LocalPush { base, expected_n, events });
        let is_taken = !matches!(outcome, Outcome::Reject(_));
        if is_taken {
            self.persisted[session] = last_n;
            let taken = &self.log.events[self.log.events.len() - pushed..];
            assert!(taken.iter().all(|event| event.num.generation == self.log.head().generation));
        }
        let last = self.log.head();
        let settled = self.log.version(self.log.settled_len());
        let gone = self.gone(session);
        let session = &mut self.sessions[session];
        if !is_answered {
            session.refresh();
        } else if !is_taken {
            session.items.push_back(Item { payload: None, gone });
        } else {
            // Items may be under way that lead elsewhere; then this one does not fit, and the session asks anew.
            session.cursor = last;
            session
                .items
                .push_back(Item { payload: Some(Payload::Accepted { after: base, last, settled }), gone });
        }
    }

    fn gone(&self, session: usize) -> Vec<u64> {
        self.accounts.gone_of(&self.sessions[session].name.to_string())
    }

    /// The leader serves from its log: what comes after the session's version, or after what both share.
    fn emit(&mut self, session: usize, events: usize) {
        let gone = self.gone(session);
        let log = &self.log;
        let session = &mut self.sessions[session];
        let from = log.common(session.cursor);
        let to = log.events.len().min(from + events);
        let (events, last) = (log.events[from..to].to_vec(), log.version(to));
        let settled = log.version(log.settled_len().min(to));
        let after = session.cursor;
        let payload = if log.place(after).is_some() {
            advance(after, events, settled)
        } else {
            Payload::UpstreamRebase { after, rollback_to: log.version(from), events, settled }
        };
        session.told = (to == log.events.len()).then_some((settled, gone.len()));
        session.cursor = last;
        session.items.push_back(Item { payload: Some(payload), gone });
    }

    fn deliver(&mut self, session: usize, is_repeated: bool) {
        let session = &mut self.sessions[session];
        let Some(item) = session.items.pop_front() else { return };
        if is_repeated {
            session.deliver(item.clone());
        }
        session.deliver(item);
    }

    fn deliver_all(&mut self, session: usize) {
        while !self.sessions[session].items.is_empty() {
            self.deliver(session, false);
        }
    }

    /// The old link ends with what is in it.
    fn attach(&mut self, session: usize) {
        let gone = self.gone(session);
        let session = &mut self.sessions[session];
        session.outbox = None;
        session.deliver(Item { payload: None, gone });
    }

    fn snapshot(&mut self, session: usize) {
        self.attach(session);
        let (persisted, base) = (self.persisted[session], self.log.head());
        let session = &mut self.sessions[session];
        session.reference.pending.retain(|event| event.commit.unwrap().n > persisted);
        session.reference.seen = self.log.clone();
        (session.reference.settled, session.reference.start) = (SeqNum::ROOT, base);
        (session.mirror, session.settled) = (self.log.events.clone(), SeqNum::ROOT);
        let keep = session.reference.pending.clone();
        let outcome = merge(&mut session.state, Payload::Reset { base, keep }).unwrap();
        session.follow(&outcome);
        session.refresh();
    }

    fn foreign(&mut self, content: u8) {
        self.foreign += 1;
        let num = at(GlobalSeq(self.backend.len() as u64 + 1));
        let commit = CommitRef { n: self.foreign, index: 0 };
        let mut event = event(num, 'x', commit, args(&content.to_string()));
        event.is_own = false;
        self.backend.push(event);
    }

    fn pull(&mut self, events: usize) {
        let known = self.state.upstream_head.global.0 as usize;
        let page = self.backend[known..].iter().take(events).cloned().collect();
        self.merge(upstream(&self.state, page, GlobalSeq::ROOT));
    }

    fn leader_push(&mut self, units: usize) {
        if self.backend.len() as u64 != self.state.upstream_head.global.0 {
            return;
        }
        let mut left = units;
        for event in &self.state.pending {
            if event.num.is_synced() {
                self.backend.push(Event { num: at(event.num.global), is_own: false, ..event.clone() });
            }
            left -= usize::from(event.unit_end);
            if left == 0 {
                break;
            }
        }
    }

    fn drop_unit(&mut self, unit: usize) {
        let is_stored = |event: &Event| {
            self.backend
                .iter()
                .any(|other| (&other.session_id, other.commit) == (&event.session_id, event.commit))
        };
        let pending = self.state.pending.iter().filter(|event| event.num.is_synced());
        let Some(refused) = pending.filter(|event| !is_stored(event)).nth(unit) else { return };
        let (session_id, n) = (refused.session_id.clone(), refused.commit.unwrap().n);
        self.accounts.lose(session_id.as_str(), n);
        self.merge(Payload::Amend(Amendment::Drop { session_id, commits: vec![n] }));
    }

    fn merge(&mut self, payload: Payload) -> Outcome {
        let outcome = merge(&mut self.state, payload).unwrap();
        if let Outcome::Advance(change) | Outcome::Rebase(change) = &outcome {
            self.versions.note(change);
            self.log.apply(change, &self.state);
        }
        outcome
    }

    /// No more faults, until nothing is under way and nothing is pending.
    fn heal(&mut self) {
        for _ in 0..1000 {
            self.pull(usize::MAX);
            self.leader_push(usize::MAX);
            for session in 0..2 {
                self.deliver_all(session);
                let told = (self.log.version(self.log.settled_len()), self.gone(session).len());
                if self.sessions[session].cursor != self.log.head()
                    || self.sessions[session].told != Some(told)
                {
                    self.emit(session, 3);
                }
                self.deliver_all(session);
                // Only then: a session that pushes before it has taken in what it lacks is refused again.
                self.push(session, 2);
                self.serve(session, true);
            }
            if self.is_at_rest() {
                return;
            }
        }
        panic!("the sessions do not come to rest");
    }

    fn is_at_rest(&self) -> bool {
        let settled = self.log.version(self.log.settled_len());
        self.state.pending.is_empty()
            && self.backend.len() as u64 == self.state.upstream_head.global.0
            && self.sessions.iter().all(|session| {
                session.items.is_empty()
                    && session.state.pending.is_empty()
                    && session.state.upstream_head == self.log.head()
                    && session.state.settled_head == settled
            })
    }

    fn check_convergence(&self) {
        for session in &self.sessions {
            assert_eq!(session.reference.seen.events, self.log.events, "session {} differs", session.name);
        }
        let own = self.log.events.iter().filter(|event| event.is_own);
        self.accounts.check(own, |_, _| true);
        let synced = self.backend.iter().filter(|event| event.session_id.as_str() != "x");
        self.accounts.check(synced, |_, is_synced| is_synced);
    }
}

proptest! {
    #![proptest_config(crate::cases(25_000))]

    #[test]
    fn sessions_follow_their_leader(ops in prop::collection::vec(op(), 1..50)) {
        let mut world = World::new();
        ops.iter().for_each(|op| world.run(op));
        world.heal();
        world.check_convergence();
    }
}
