//! A leader over everything that can happen to it, against the fold: sessions that commit units of both kinds, pushes
//! that land, partly (over LiveStore's wire) or with other args, foreign events, holes, refusals, new client ids, resets.

use livestore_engine::sync::{Amendment, Outcome, Payload, SyncState, merge};
use livestore_traits::{ClientId, Event, GlobalSeq, SeqNum};
use proptest::prelude::*;

use crate::accounts::{Accounts, Unit, check_units_are_whole};
use crate::fold::fold;
use crate::log::{Log, Versions, at};
use crate::notation::{args, event};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A session commits.
    Commit { session: u8, unit: Unit },
    /// Another client's event enters the backend, maybe after a hole.
    Foreign { content: u8, hole: u8 },
    /// Pending is pushed, this many events of it; the backend may have them with other args then.
    Push { events: usize, lands: bool, args: Args },
    /// The next events of the backend are merged.
    Pull { events: usize },
    /// The backend refuses a unit.
    Drop { unit: usize },
    /// The client gets another id.
    Rename,
    /// The leader stops, and another one opens the log.
    Reopen,
    /// The backend is restored to an earlier state.
    Reset { back: usize },
}

/// What the backend makes of args.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Args {
    Kept,
    /// The same value to JavaScript, other text.
    Respelled,
    Changed,
}

/// A unit of one to three events, of few contents, so that equal ones meet.
pub(crate) fn unit() -> impl Strategy<Value = Unit> {
    prop::collection::vec((prop::bool::weighted(0.6), 0u8..3), 1..4)
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let args = prop_oneof![8 => Just(Args::Kept), 1 => Just(Args::Respelled), 1 => Just(Args::Changed)];
    prop_oneof![
        8 => (0u8..2, unit()).prop_map(|(session, unit)| Op::Commit { session, unit }),
        4 => (0u8..3, prop_oneof![6 => Just(0u8), 1 => 1u8..3])
            .prop_map(|(content, hole)| Op::Foreign { content, hole }),
        5 => (1usize..6, prop::bool::weighted(0.8), args)
            .prop_map(|(events, lands, args)| Op::Push { events, lands, args }),
        6 => (0usize..6).prop_map(|events| Op::Pull { events }),
        1 => (0usize..4).prop_map(|unit| Op::Drop { unit }),
        1 => Just(Op::Rename),
        1 => Just(Op::Reopen),
        1 => (0usize..4).prop_map(|back| Op::Reset { back }),
    ]
}

/// A leader, its log, and the backend.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) state: SyncState,
    pub(crate) log: Log,
    versions: Versions,
    accounts: Accounts,
    /// Whether the wire carries commits, and pushes are cut at unit ends.
    is_native: bool,
    /// The backend's events, with their commits even if the wire does not carry them.
    backend: Vec<Event>,
    pushed_through: GlobalSeq,
    foreign: u64,
    renames: u64,
}

impl World {
    pub(crate) fn new(is_native: bool) -> Self {
        let log = Log::default();
        Self {
            state: log.open(),
            log,
            versions: Versions::default(),
            accounts: Accounts::default(),
            is_native,
            backend: Vec::new(),
            pushed_through: GlobalSeq::ROOT,
            foreign: 0,
            renames: 0,
        }
    }

    pub(crate) fn run(&mut self, op: &Op) {
        match *op {
            Op::Commit { session, ref unit } => self.commit(char::from(b'a' + session), unit),
            Op::Foreign { content, hole } => self.foreign(content, hole.into()),
            Op::Push { events, lands, args } => self.push(events, lands, args),
            Op::Pull { events } => self.pull(events),
            Op::Drop { unit } => self.drop_unit(unit),
            Op::Rename => self.rename(),
            Op::Reopen => self.state = self.log.open(),
            Op::Reset { back } => self.reset(back),
        }
        self.check();
    }

    fn commit(&mut self, session: char, unit: &Unit) {
        let base = self.state.local_head;
        let (expected_n, events) = self.accounts.commit(session, unit, base);
        let outcome = self.merge(Payload::LocalPush { base, expected_n, events });
        assert!(
            matches!(outcome, Outcome::Advance(_)),
            "a commit on the local head was not taken: {outcome:?}"
        );
    }

    fn backend_head(&self) -> GlobalSeq {
        self.backend.last().map_or(GlobalSeq::ROOT, |event| event.num.global)
    }

    fn foreign(&mut self, content: u8, hole: u64) {
        self.foreign += 1;
        let num = at(GlobalSeq(self.backend_head().0 + 1 + hole));
        let commit = livestore_traits::CommitRef { n: self.foreign, index: 0 };
        let mut event = event(num, 'x', commit, args(&content.to_string()));
        event.is_own = false;
        self.backend.push(event);
    }

    /// The first pending synced events as they go to the backend, cut at unit ends if the wire knows them.
    fn batch(&self, events: usize) -> Vec<Event> {
        let mut batch = Vec::new();
        let mut whole = 0;
        for event in &self.state.pending {
            if event.num.is_synced() {
                batch.push(event.clone());
            }
            if !self.is_native || event.unit_end {
                whole = batch.len();
                if whole >= events {
                    break;
                }
            }
        }
        batch.truncate(whole);
        batch
    }

    fn push(&mut self, events: usize, lands: bool, become_args: Args) {
        if self.backend_head() != self.state.upstream_head.global {
            return;
        }
        let mut batch = self.batch(events);
        let Some(last) = batch.last() else { return };
        self.pushed_through = last.num.global;
        if !lands {
            return;
        }
        for event in &mut batch {
            event.num = at(event.num.global);
            event.is_own = false;
            event.args = match become_args {
                Args::Kept => event.args.clone(),
                Args::Respelled => args(&format!("{}.0", js_text(&event.args))),
                Args::Changed => args("7"),
            };
        }
        self.backend.extend(batch);
    }

    /// Events of the backend after the upstream head, as the wire brings them.
    fn page(&self, events: usize) -> Vec<Event> {
        let known = self.state.upstream_head.global;
        let mut page: Vec<Event> =
            self.backend.iter().filter(|event| event.num.global > known).take(events).cloned().collect();
        if !self.is_native {
            for event in &mut page {
                event.commit = None;
                event.unit_end = true;
            }
        }
        page
    }

    fn pull(&mut self, events: usize) {
        let page = self.page(events);
        let pieces = |size: usize| {
            let (mut state, mut log, mut pushed) =
                (self.state.clone(), self.log.clone(), self.pushed_through);
            for piece in page.chunks(size) {
                let payload = upstream(&state, piece.to_vec(), pushed);
                merge(&mut state, payload).unwrap();
                log = fold(&log, piece, &mut pushed);
            }
            unstamped(&state)
        };
        let (one_by_one, in_pages) = (pieces(1), pieces(2));
        let mut pushed_through = self.pushed_through;
        let expected = fold(&self.log, &page, &mut pushed_through);
        let payload = upstream(&self.state, page, self.pushed_through);
        self.merge(payload);
        self.pushed_through = pushed_through;
        assert_eq!(self.log, expected, "merge and fold differ");
        assert_eq!(unstamped(&self.state), one_by_one, "at once and one by one differ");
        assert_eq!(unstamped(&self.state), in_pages, "at once and in pages differ");
    }

    fn is_landed(&self, event: &Event) -> bool {
        let mut landed = self.backend.iter().rev();
        landed.any(|other| other.session_id == event.session_id && other.commit == event.commit)
    }

    /// An honest backend refuses only what it has not stored.
    fn drop_unit(&mut self, unit: usize) {
        let synced: Vec<&Event> = self.state.pending.iter().filter(|event| event.num.is_synced()).collect();
        let Some(refused) = synced.get(unit) else { return };
        let (session_id, n) = (refused.session_id.clone(), refused.commit.unwrap().n);
        let is_of_unit = |event: &&Event| event.session_id == session_id && event.commit.unwrap().n == n;
        if self.state.pending.iter().filter(is_of_unit).any(|event| self.is_landed(event)) {
            return;
        }
        self.accounts.lose(session_id.as_str(), n);
        let before = self.state.generation;
        let outcome = self.merge(Payload::Amend(Amendment::Drop { session_id, commits: vec![n] }));
        let Outcome::Rebase(change) = outcome else { panic!("a drop is a rebase") };
        assert!(self.state.generation > before);
        // What stands before the dropped unit keeps its numbers.
        self.pushed_through = self.pushed_through.min(change.rollback_to.unwrap().global);
    }

    /// An honest backend refuses an id before it stores anything under it.
    fn rename(&mut self) {
        if self.state.pending.iter().any(|event| self.is_landed(event)) {
            return;
        }
        self.renames += 1;
        let client_id = ClientId::new(format!("me-{}", self.renames)).unwrap();
        self.merge(Payload::Amend(Amendment::ReplaceClientId(client_id.clone())));
        assert!(self.state.pending.iter().all(|event| event.client_id == client_id));
        self.pushed_through = GlobalSeq::ROOT;
    }

    /// The backend forgets its last events, and the leader bases a new history on what is left.
    fn reset(&mut self, back: usize) {
        let mut left = self.backend.len().saturating_sub(back);
        while self.is_native && left > 0 && !self.ends_batch(left - 1) {
            left -= 1;
        }
        self.backend.truncate(left);
        let upstream_head = self.state.upstream_head.global;
        let shared = self.backend_head().min(upstream_head);
        let base_len =
            self.log.events.iter().rposition(|event| event.num.is_synced() && event.num.global <= shared);
        let base_len = base_len.map_or(0, |index| index + 1);
        let settled = self.log.settled_len();
        let mut keep = Vec::new();
        for (index, event) in self.log.events.iter().enumerate().skip(base_len) {
            if index >= settled || !event.num.is_synced() {
                keep.push(event.clone());
            } else if let Some(commit) = event.commit.filter(|_| event.is_own) {
                self.accounts.lose(event.session_id.as_str(), commit.n);
            }
        }
        let base = self.log.version(base_len);
        let Outcome::Rebase(change) = merge(&mut self.state, Payload::Reset { base, keep }).unwrap() else {
            panic!("a reset is a rebase");
        };
        self.versions.note(&change);
        self.log.reset(&change, &self.state);
        // If all that was confirmed is still there, so is what was pushed after it, under the same numbers.
        if shared < upstream_head {
            self.pushed_through = GlobalSeq::ROOT;
        }
    }

    fn ends_batch(&self, index: usize) -> bool {
        let unit = |event: &Event| (event.session_id.clone(), event.commit.map(|commit| commit.n));
        self.backend.get(index + 1).is_none_or(|next| unit(next) != unit(&self.backend[index]))
    }

    fn merge(&mut self, payload: Payload) -> Outcome {
        let outcome = merge(&mut self.state, payload).unwrap();
        match &outcome {
            Outcome::Advance(change) | Outcome::Rebase(change) => {
                self.versions.note(change);
                self.log.apply(change, &self.state);
            }
            Outcome::Reject(_) => {}
        }
        outcome
    }

    fn check(&self) {
        let own = self.log.events.iter().filter(|event| event.is_own);
        self.accounts.check(own, |_, _| true);
        if self.is_native && self.accounts.gone_of("a").is_empty() && self.accounts.gone_of("b").is_empty() {
            check_units_are_whole(self.log.events.iter());
        }
        let known = self.state.upstream_head.global;
        let confirmed =
            self.log.events.iter().filter(|event| event.num.is_synced() && event.num.global <= known);
        let upstream = self.backend.iter().filter(|event| event.num.global <= known);
        let content =
            |event: &Event| (event.num.global, event.session_id.clone(), js_text(&event.args).to_owned());
        assert!(
            confirmed.clone().map(content).eq(upstream.map(content)),
            "what is confirmed is not the backend's"
        );
    }
}

/// The text that JavaScript would write.
fn js_text(args: &livestore_traits::Args) -> &str {
    args.as_str().trim_end_matches(".0")
}

pub(crate) fn upstream(state: &SyncState, events: Vec<Event>, pushed_through: GlobalSeq) -> Payload {
    Payload::UpstreamAdvance { after: state.upstream_head, events, settled: None, pushed_through }
}

/// A state without generations: what merging in other portions must lead to as well.
pub(crate) fn unstamped(state: &SyncState) -> SyncState {
    let strip = |num: &mut SeqNum| *num = SeqNum::new(num.position(), Default::default());
    let mut state = state.clone();
    state.generation = Default::default();
    state.pending.iter_mut().for_each(|event| strip(&mut event.num));
    state.known.iter_mut().for_each(strip);
    [&mut state.upstream_head, &mut state.settled_head, &mut state.local_head].into_iter().for_each(strip);
    state
}

proptest! {
    #![proptest_config(crate::cases(40_000))]

    #[test]
    fn merging_is_the_fold_whatever_happens(is_native: bool, ops in prop::collection::vec(op(), 1..24)) {
        let mut world = World::new(is_native);
        ops.iter().for_each(|op| world.run(op));
    }
}
