//! Cases: random histories against a model that is too simple to be wrong.

use std::collections::BTreeMap;

use bytes::Bytes;
use livestore_traits::{
    ArchiveInfo, Args, Event, Eventlog, EventlogReader, GoneCommit, GoneReason, Heads, LogCommit,
    LogCommitKind, RebaseGeneration, SeqNum, SessionRecord, Term,
};

use super::EventlogFixture;
use super::build::*;

const HISTORIES: u64 = 6;
const STEPS: usize = 40;

/// Random appends, rollbacks and resets leave what a plain list of events would hold.
///
/// Verifies: events, heads, sessions and archives after each step, and `common` with every version that ever was.
pub async fn random_histories_agree_with_a_model<F: EventlogFixture>(fixture: &F) {
    for seed in 1..=HISTORIES {
        let (_storage, mut log) = create(fixture);
        let mut model = Model::default();
        let mut dice = Dice(seed);
        for step in 0..STEPS {
            model.step(&mut dice, &mut log);
            model.compare(&log, &format!("seed {seed}, step {step}"));
        }
    }
}

/// The same, with the log opened again between steps.
///
/// Verifies: a log can be left after any commit.
pub async fn random_histories_survive_reopening<F: EventlogFixture>(fixture: &F) {
    if !F::REOPENS {
        return eprintln!("skipped: the log is not kept");
    }
    let (storage, mut log) = create(fixture);
    let mut model = Model::default();
    let mut dice = Dice(99);
    for step in 0..STEPS / 4 {
        for _ in 0..4 {
            model.step(&mut dice, &mut log);
        }
        drop(log);
        log = fixture.open(&storage).expect("a log that was dropped can be opened at once");
        model.compare(&log, &format!("reopened {step} times"));
    }
}

/// A small generator, so that a history is named by its seed on every machine.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// A log as plain lists.
#[derive(Default)]
struct Model {
    heads: Heads,
    events: Vec<Event>,
    sessions: BTreeMap<&'static str, SessionRecord>,
    archives: Vec<(ArchiveInfo, Vec<Event>)>,
    versions: Vec<SeqNum>,
}

impl Model {
    /// Makes up a commit, gives it to the log, and does the same here.
    fn step(&mut self, dice: &mut Dice, log: &mut impl Eventlog) {
        let term = if dice.one_in(8) { Term(self.heads.term.0 + 1) } else { self.heads.term };
        let commit = self.invent(dice);
        let heads = log.commit(term, commit.clone()).expect("a commit that keeps the rules is taken");
        self.carry_out(commit, term);
        assert_eq!(heads, self.heads);
    }

    fn invent(&self, dice: &mut Dice) -> LogCommit {
        let mut commit = LogCommit::new(&self.heads);
        let base = match dice.roll(10) {
            0..6 => self.heads.local,
            6..9 => {
                let to = dice.pick(&self.numbers_from(self.heads.settled));
                commit.kind = LogCommitKind::Rollback { to };
                to
            }
            _ => {
                let base = dice.pick(&self.numbers_from(SeqNum::ROOT));
                commit.kind = LogCommitKind::Reset { base, reason: format!("after {base}") };
                base
            }
        };
        let is_append = commit.kind == LogCommitKind::Append;
        if !is_append || dice.one_in(10) {
            commit.generation = self.heads.generation.next();
        }
        commit.append = self.invent_events(dice, base, commit.generation);

        let is_reset = matches!(commit.kind, LogCommitKind::Reset { .. });
        let kept = self.numbers_from(SeqNum::ROOT);
        let mut stands: Vec<SeqNum> =
            kept.into_iter().filter(|num| num.position() <= base.position()).collect();
        stands.extend(commit.append.iter().map(|event| event.num));
        let between = |from: SeqNum, to: SeqNum| -> Vec<SeqNum> {
            let within = |num: &SeqNum| from.position() <= num.position() && num.position() <= to.position();
            stands.iter().copied().filter(within).collect()
        };
        let last = *stands.last().expect("the root stands");
        let from = |head: SeqNum| if is_reset { SeqNum::ROOT } else { head };
        commit.settled = dice.pick(&between(from(self.heads.settled), last));
        let confirmed = between(from(self.heads.upstream.head), commit.settled);
        commit.upstream.head = dice.pick(&confirmed);
        commit.upstream.cursor.after = commit.upstream.head.global;
        commit.upstream.cursor.token = dice.one_in(2).then(|| Bytes::from(vec![dice.roll(256) as u8; 3]));
        commit.sessions = self.invent_sessions(dice);
        commit
    }

    /// After `base`; sometimes what stood there before, unchanged, comes first.
    fn invent_events(&self, dice: &mut Dice, base: SeqNum, generation: RebaseGeneration) -> Vec<Event> {
        let removed = self.events.iter().filter(|event| event.num.position() > base.position());
        let again = if dice.one_in(2) { dice.roll(3) } else { 0 };
        let mut append: Vec<Event> = removed.take(again).cloned().collect();
        for _ in 0..dice.roll(5) {
            let last = append.last().map_or(base, |event| event.num);
            let next =
                if dice.one_in(3) { last.next_client_only(generation) } else { last.next_synced(generation) };
            let mut event = event(next);
            event.args = Args::from_value(&dice.roll(1_000_000)).expect("a number is JSON");
            event.unit_end = dice.one_in(2);
            append.push(event);
        }
        append
    }

    fn invent_sessions(&self, dice: &mut Dice) -> Vec<SessionRecord> {
        let mut records = Vec::new();
        for id in ["s1", "s2", "s3"] {
            if dice.one_in(3) {
                let persisted = dice.roll(50) as u64;
                let gone = if dice.one_in(4) {
                    vec![GoneCommit { n: dice.roll(50) as u64, reason: GoneReason::Archived }]
                } else {
                    Vec::new()
                };
                records.push(SessionRecord { session_id: session_id(id), persisted, gone });
            }
        }
        records
    }

    /// The root and the numbers in the log, from `first` on.
    fn numbers_from(&self, first: SeqNum) -> Vec<SeqNum> {
        let all = std::iter::once(SeqNum::ROOT).chain(self.events.iter().map(|event| event.num));
        all.filter(|num| num.position() >= first.position()).collect()
    }

    fn carry_out(&mut self, commit: LogCommit, term: Term) {
        let split = |events: &mut Vec<Event>, base: SeqNum| {
            let at = events.iter().take_while(|event| event.num.position() <= base.position()).count();
            events.split_off(at)
        };
        match commit.kind {
            LogCommitKind::Append => {}
            LogCommitKind::Rollback { to } => drop(split(&mut self.events, to)),
            LogCommitKind::Reset { base, reason } => {
                let info = ArchiveInfo {
                    id: self.archives.len() as u64 + 1,
                    base,
                    head: self.heads.local,
                    backend_id: self.heads.upstream.backend_id.clone(),
                    reason,
                };
                self.archives.push((info, split(&mut self.events, base)));
            }
        }
        self.versions.extend(commit.append.iter().map(|event| event.num));
        self.events.extend(commit.append);
        for record in commit.sessions {
            let id = ["s1", "s2", "s3"].into_iter().find(|id| *id == record.session_id.as_str());
            let id = id.expect("only these sessions are made up");
            let known =
                self.sessions.entry(id).or_insert_with(|| SessionRecord::new(record.session_id.clone()));
            known.merge(&record);
            known.gone.sort_by_key(|gone| gone.n);
        }
        self.heads = Heads {
            local: self.events.last().map_or(SeqNum::ROOT, |event| event.num),
            settled: commit.settled,
            upstream: commit.upstream,
            generation: commit.generation,
            term,
            identity: None,
        };
    }

    fn compare(&self, log: &impl EventlogReader, context: &str) {
        let expected = View {
            heads: self.heads.clone(),
            events: self.events.clone(),
            sessions: ["s1", "s2", "s3"].map(|id| self.sessions.get(id).cloned()).into(),
            archives: self.archives.clone(),
        };
        assert_eq!(View::of(log), expected, "{context}");
        for &version in self.versions.iter().chain([&num("e2.7r1"), &num("e90r3"), &num("e1r90")]) {
            let both = |event: &&Event| {
                event.num.position() <= version.position() && event.num.generation <= version.generation
            };
            let expected = self.events.iter().rfind(both).map_or(SeqNum::ROOT, |event| event.num);
            assert_eq!(log.common(version).expect("common"), expected, "with {version}, {context}");
        }
    }
}
