//! Two sessions of one leader over everything that can happen between them, against a session that remembers all of its
//! leader's log and takes it in event by event: payloads cut anywhere, delivered twice, answers lost, refusals, rebases.

use std::collections::VecDeque;

use livestore_engine::sync::{Amendment, Change, Outcome, Payload, Refusal, SyncState, merge};
use livestore_traits::{CommitRef, Event, GlobalSeq, SeqNum, SessionId};
use proptest::prelude::*;

use crate::accounts::{Accounts, Unit};
use crate::fold::append;
use crate::leader::{unit, unstamped, upstream};
use crate::log::{Log, Versions, at};
use crate::notation::{args, event};

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

/// One item of the leader's stream.
#[derive(Clone, Debug)]
struct Item {
    payload: Option<Payload>,
    gone: Vec<u64>,
}

/// A session as the rules describe it, with no thought of cost: all of the leader's log that it has, and its pending.
#[derive(Clone, Debug, Default)]
struct Reference {
    seen: Log,
    settled: SeqNum,
    /// Nothing older than this is recognised: where it started.
    start: SeqNum,
    pending: Vec<Event>,
}

impl Reference {
    /// Takes in `payload`; false if it does not fit.
    fn take(&mut self, payload: &Payload) -> bool {
        let (events, settled) = match payload {
            Payload::UpstreamAdvance { after, events, settled, .. } => {
                let oldest =
                    if self.settled.position() < self.start.position() { self.start } else { self.settled };
                let Some(mut at) = self.seen.place(*after).filter(|_| after.position() >= oldest.position())
                else {
                    return false;
                };
                let mut events = &events[..];
                while let Some((first, rest)) = events.split_first()
                    && let Some(known) = self.seen.events.get(at)
                {
                    if known.num != first.num {
                        return false;
                    }
                    (at, events) = (at + 1, rest);
                }
                (events, settled.unwrap())
            }
            Payload::UpstreamRebase { after, rollback_to, events, settled } => {
                if *after != self.seen.head() {
                    return false;
                }
                let keep =
                    self.seen.place(*rollback_to).expect("a rebase to a version the session never had");
                self.seen.events.truncate(keep);
                if rollback_to.position() < self.start.position() {
                    self.start = *rollback_to;
                }
                (&events[..], *settled)
            }
            Payload::Accepted { after, last, settled } => {
                if *after != self.seen.head() {
                    return false;
                }
                self.seen.generation = last.generation;
                while self.seen.head().position() < last.position() {
                    let accepted = self.pending.remove(0);
                    append(&mut self.seen, vec![accepted]);
                }
                assert_eq!(self.seen.head(), *last);
                (&[][..], *settled)
            }
            other => unreachable!("not of the leader's stream: {other:?}"),
        };
        for event in events {
            if self.pending.first().is_some_and(|own| own.identity() == event.identity()) {
                self.pending.remove(0);
            }
            self.seen.events.push(event.clone());
        }
        if settled.position() > self.settled.position() {
            self.settled = settled;
        }
        true
    }

    /// The whole log of the session.
    fn all(&self) -> Log {
        let mut all = self.seen.clone();
        append(&mut all, self.pending.clone());
        all
    }
}

struct Session {
    name: char,
    state: SyncState,
    reference: Reference,
    /// The log that the changes lead to, and how far nothing of it can roll back.
    mirror: Vec<Event>,
    settled: SeqNum,
    /// The way to the leader: a push, and whether it is still waited for.
    outbox: Option<(SeqNum, Vec<Event>)>,
    is_waiting: bool,
    /// The way back, and the version that the session is at when it has taken all of it.
    items: VecDeque<Item>,
    cursor: SeqNum,
    told: Option<(SeqNum, usize)>,
}

impl Session {
    fn new(name: char) -> Self {
        Self {
            name,
            state: SyncState::session(SeqNum::ROOT),
            reference: Reference::default(),
            mirror: Vec::new(),
            settled: SeqNum::ROOT,
            outbox: None,
            is_waiting: false,
            items: VecDeque::new(),
            cursor: SeqNum::ROOT,
            told: None,
        }
    }

    fn id(&self) -> SessionId {
        SessionId::new(self.name.to_string()).unwrap()
    }

    /// Asks for the stream from its own version; what is under way is void.
    fn refresh(&mut self) {
        self.items.clear();
        self.is_waiting = false;
        self.cursor = self.state.upstream_head;
        self.told = None;
    }

    fn deliver(&mut self, item: Item) {
        let commits = item.gone;
        let drop = Amendment::Drop { session_id: self.id(), commits: commits.clone() };
        let outcome = merge(&mut self.state, Payload::Amend(drop)).unwrap();
        self.reference.pending.retain(|event| !commits.contains(&event.commit.unwrap().n));
        self.follow(&outcome);
        let Some(payload) = item.payload else {
            self.refresh();
            return;
        };
        let one_by_one = self.one_by_one(&payload);
        self.is_waiting &= !matches!(payload, Payload::Accepted { .. });
        let fits = self.reference.take(&payload);
        let outcome = merge(&mut self.state, payload).unwrap();
        assert_eq!(fits, !matches!(outcome, Outcome::Reject(_)), "{outcome:?}, unlike the reference");
        self.follow(&outcome);
        if fits {
            assert!(one_by_one.is_none_or(|state| state == unstamped(&self.state)), "one by one differs");
        } else {
            assert_eq!(outcome, Outcome::Reject(Refusal::Stale { at: self.state.upstream_head }));
            self.refresh();
        }
    }

    /// What an advance leads to if each of its events is merged by itself.
    fn one_by_one(&self, payload: &Payload) -> Option<SyncState> {
        let Payload::UpstreamAdvance { after, events, settled: Some(settled), .. } = payload else {
            return None;
        };
        let mut state = self.state.clone();
        let mut after = *after;
        for event in events {
            let settled = if event.num.position() < settled.position() { event.num } else { *settled };
            merge(&mut state, advance(after, vec![event.clone()], settled)).ok()?;
            after = event.num;
        }
        merge(&mut state, advance(after, Vec::new(), *settled)).ok()?;
        Some(unstamped(&state))
    }

    /// Does what a merge told and compares all there is with the reference.
    fn follow(&mut self, outcome: &Outcome) {
        if let Outcome::Advance(change) | Outcome::Rebase(change) = outcome {
            self.apply(change);
        }
        let all = self.reference.all();
        let places = |events: &[Event]| -> Vec<_> {
            let place =
                |event: &Event| (event.num.position(), event.identity().map(|id| id.1), event.args.clone());
            events.iter().map(place).collect()
        };
        assert_eq!(places(&self.mirror), places(&all.events), "the changes lead to another log");
        let (seen, pending) = all.events.split_at(self.reference.seen.events.len());
        let state = &self.state;
        assert_eq!(state.upstream_head, self.reference.seen.head(), "the upstream head");
        assert_eq!(state.settled_head, self.reference.settled, "the settled head");
        assert_eq!(state.local_head.position(), all.head().position(), "the local head");
        assert_eq!(places(pending), places(&state.pending.iter().cloned().collect::<Vec<_>>()), "pending");
        let known = seen.iter().map(|event| event.num).chain([SeqNum::ROOT]);
        let known: Vec<SeqNum> = known.filter(|num| state.known.contains(num)).collect();
        assert_eq!(known.len(), state.known.len(), "a version is taken for known that was never seen");
        self.settled = state.settled_head;
    }

    fn apply(&mut self, change: &Change) {
        if let Some(to) = change.rollback_to {
            assert!(to.position() >= self.settled.position(), "settled events are rolled back");
            let is_there = |event: &Event| event.num.position() == to.position();
            assert!(
                to == SeqNum::ROOT || self.mirror.iter().any(is_there),
                "no version {to} to roll back to"
            );
            self.mirror.retain(|event| event.num.position() <= to.position());
        }
        self.mirror.extend(change.append.iter().cloned());
    }
}

fn advance(after: SeqNum, events: Vec<Event>, settled: SeqNum) -> Payload {
    Payload::UpstreamAdvance { after, events, settled: Some(settled), pushed_through: GlobalSeq::ROOT }
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
