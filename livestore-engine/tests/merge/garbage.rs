//! Merge is total: whatever a peer sends, it is merged, rejected, or a typed error, and only the first changes anything.

use livestore_engine::sync::{Amendment, Level, Outcome, Payload, SyncState, merge};
use livestore_traits::{
    ClientId, CommitRef, Event, EventKind, GlobalSeq, RebaseGeneration, SeqNum, SessionId,
};
use proptest::prelude::*;

use crate::leader::{self, World};
use crate::notation::{args, event};

/// A number as a peer may send it: often one that the log knows or the next one, sometimes far from it.
#[derive(Clone, Debug)]
enum Number {
    /// The upstream head, the settled head, the local head, a pending or a known version.
    Known(usize),
    /// The event after a known one.
    Next(usize, bool),
    /// The same place in another generation.
    Restamped(usize, u64),
    Any(SeqNum),
}

impl Number {
    fn resolve(&self, state: &SyncState) -> SeqNum {
        let heads = [state.upstream_head, state.settled_head, state.local_head, SeqNum::ROOT];
        let pending = state.pending.iter().map(|event| event.num);
        let known: Vec<SeqNum> =
            heads.into_iter().chain(pending).chain(state.known.iter().copied()).collect();
        let pick = |index: usize| known[index % known.len()];
        match *self {
            Self::Known(index) => pick(index),
            Self::Next(index, true) => pick(index).next_synced(state.generation),
            Self::Next(index, false) => pick(index).next_client_only(state.generation),
            Self::Restamped(index, generation) => {
                SeqNum { generation: RebaseGeneration(generation), ..pick(index) }
            }
            Self::Any(num) => num,
        }
    }
}

fn number() -> impl Strategy<Value = Number> {
    let global = prop_oneof![0u64..6, Just(u64::MAX), Just((1 << 53) - 1), Just(1 << 53)];
    let client = prop_oneof![8 => 0u32..3, 1 => Just(u32::MAX), 1 => Just(u32::MAX / 2)];
    let generation = prop_oneof![8 => 0u64..4, 1 => Just(u64::MAX), 1 => Just((1 << 53) - 1)];
    let anything = (global, client, generation).prop_map(|(global, client, generation)| {
        let generation = RebaseGeneration(generation);
        Number::Any(SeqNum { global: GlobalSeq(global), client, generation })
    });
    prop_oneof![
        8 => (0usize..10).prop_map(Number::Known),
        2 => (0usize..10, any::<bool>()).prop_map(|(index, synced)| Number::Next(index, synced)),
        1 => (0usize..10, 0u64..4).prop_map(|(index, generation)| Number::Restamped(index, generation)),
        1 => anything,
    ]
}

/// An event as a peer may send it: usually numbered after the one before.
#[derive(Clone, Debug)]
struct Sent {
    num: Option<Number>,
    is_synced: bool,
    session: char,
    commit: Option<CommitRef>,
    content: u8,
    unit_end: bool,
    is_own: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let n = prop_oneof![8 => 0u64..5, 1 => Just(u64::MAX)];
    let index = prop_oneof![8 => 0u32..3, 1 => Just(u32::MAX)];
    let commit = prop::option::weighted(0.9, (n, index).prop_map(|(n, index)| CommitRef { n, index }));
    let num = prop::option::weighted(0.1, number());
    let session = prop_oneof![Just('a'), Just('b'), Just('x')];
    (num, prop::bool::weighted(0.7), session, commit, 0u8..3, any::<bool>(), any::<bool>()).prop_map(
        |(num, is_synced, session, commit, content, unit_end, is_own)| Sent {
            num,
            is_synced,
            session,
            commit,
            content,
            unit_end,
            is_own,
        },
    )
}

fn resolve(sent: &[Sent], state: &SyncState, mut head: SeqNum) -> Vec<Event> {
    let mut events = Vec::new();
    for sent in sent {
        let kind = if sent.is_synced { EventKind::Synced } else { EventKind::ClientOnly };
        head = match (&sent.num, kind) {
            (Some(num), _) => num.resolve(state),
            (None, EventKind::Synced) => {
                SeqNum { global: GlobalSeq(head.global.0.wrapping_add(1)), client: 0, ..head }
            }
            (None, EventKind::ClientOnly) => SeqNum { client: head.client.wrapping_add(1), ..head },
        };
        let commit = sent.commit.unwrap_or(CommitRef { n: 0, index: 0 });
        let mut event = event(head, sent.session, commit, args(&sent.content.to_string()));
        event.commit = sent.commit;
        event.unit_end = sent.unit_end;
        event.is_own = sent.is_own;
        events.push(event);
    }
    events
}

#[derive(Clone, Debug)]
enum Kind {
    LocalPush { expected_n: u64, is_unit: bool },
    Advance { is_of_level: bool, pushed_through: u64 },
    Rebase,
    Accepted,
    Drop { n: u64 },
    Rename,
    Reset,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => (0u64..4, any::<bool>()).prop_map(|(expected_n, is_unit)| Kind::LocalPush { expected_n, is_unit }),
        6 => (prop::bool::weighted(0.9), 0u64..8)
            .prop_map(|(is_of_level, pushed_through)| Kind::Advance { is_of_level, pushed_through }),
        4 => Just(Kind::Rebase),
        3 => Just(Kind::Accepted),
        1 => (0u64..4).prop_map(|n| Kind::Drop { n }),
        1 => Just(Kind::Rename),
        1 => Just(Kind::Reset),
    ]
}

/// A payload of any content, with three numbers to fill its fields.
#[derive(Clone, Debug)]
struct Garbage {
    kind: Kind,
    numbers: [Number; 3],
    events: Vec<Sent>,
}

fn garbage() -> impl Strategy<Value = Garbage> {
    (kind(), [number(), number(), number()], prop::collection::vec(sent(), 0..4))
        .prop_map(|(kind, numbers, events)| Garbage { kind, numbers, events })
}

impl Garbage {
    fn payload(&self, state: &SyncState) -> Payload {
        let [first, second, third] = self.numbers.each_ref().map(|number| number.resolve(state));
        let events = |after| resolve(&self.events, state, after);
        match self.kind {
            Kind::LocalPush { expected_n, is_unit } => {
                let mut events = events(first);
                if is_unit {
                    make_unit(&mut events, expected_n);
                }
                Payload::LocalPush { base: first, expected_n, events }
            }
            Kind::Advance { is_of_level, pushed_through } => Payload::UpstreamAdvance {
                after: first,
                events: events(first),
                settled: ((state.level == Level::Session) == is_of_level).then_some(second),
                pushed_through: GlobalSeq(pushed_through),
            },
            Kind::Rebase => Payload::UpstreamRebase {
                after: first,
                rollback_to: second,
                events: events(second),
                settled: third,
            },
            Kind::Accepted => Payload::Accepted { after: first, last: second, settled: third },
            Kind::Drop { n } => {
                Payload::Amend(Amendment::Drop { session_id: SessionId::new("a").unwrap(), commits: vec![n] })
            }
            Kind::Rename => Payload::Amend(Amendment::ReplaceClientId(ClientId::new("new").unwrap())),
            Kind::Reset => Payload::Reset { base: first, keep: events(first) },
        }
    }
}

/// Makes the events commit `n` of session a, whatever their numbers are.
fn make_unit(events: &mut [Event], n: u64) {
    let len = events.len();
    for (index, event) in events.iter_mut().enumerate() {
        event.session_id = SessionId::new("a").unwrap();
        event.commit = Some(CommitRef { n, index: index as u32 });
        event.unit_end = index + 1 == len;
        event.is_own = true;
    }
}

/// A session's state after whole units were committed.
fn session(start: u64, units: &[crate::accounts::Unit]) -> SyncState {
    let mut accounts = crate::accounts::Accounts::default();
    let head = SeqNum { global: GlobalSeq(start), ..SeqNum::ROOT };
    let mut state = SyncState::session(head);
    for unit in units {
        let base = state.local_head;
        let (expected_n, events) = accounts.commit('a', unit, base);
        merge(&mut state, Payload::LocalPush { base, expected_n, events }).unwrap();
    }
    state
}

/// Merges what was sent.
fn feed(state: &mut SyncState, garbage: &[Garbage]) {
    for garbage in garbage {
        let before = state.clone();
        let payload = garbage.payload(state);
        match merge(state, payload) {
            // The state's own assertions have checked it.
            Ok(Outcome::Advance(_) | Outcome::Rebase(_)) => {}
            Ok(Outcome::Reject(_)) | Err(_) => {
                assert_eq!(before, *state, "what was not taken changed something")
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::cases(15_000))]

    #[test]
    fn a_leader_survives_whatever_is_sent(
        ops in prop::collection::vec(leader::op(), 0..8),
        garbage in prop::collection::vec(garbage(), 1..8),
    ) {
        let mut world = World::new(true);
        ops.iter().for_each(|op| world.run(op));
        prop_assert_eq!(world.state.level, Level::Leader);
        feed(&mut world.state, &garbage);
    }

    #[test]
    fn a_session_survives_whatever_is_sent(
        start in 0u64..3,
        units in prop::collection::vec(leader::unit(), 0..3),
        garbage in prop::collection::vec(garbage(), 1..10),
    ) {
        feed(&mut session(start, &units), &garbage);
    }
}
