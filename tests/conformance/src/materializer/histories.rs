//! Cases: random histories against a model that is too simple to be wrong.

use std::collections::BTreeMap;

use livestore_traits::{
    Event, MaterializeBatch, Materializer, OnFailure, Position, RebaseGeneration, SeqNum,
};

use super::MaterializerFixture;
use super::build::*;
use super::kv::Change;

const HISTORIES: u64 = 12;
const STEPS: usize = 40;

/// Commits, confirmations and rebases leave what a plain replay of the resulting log leaves.
///
/// Verifies: content, head and quarantine after each step; reopening and moving to another state in between.
pub async fn random_histories_agree_with_a_model<F: MaterializerFixture>(fixture: &F) {
    for seed in 1..=HISTORIES {
        let (storage, mut materializer) = create(fixture);
        let mut client = Client { dice: Dice(seed), ..Client::default() };
        for step in 0..STEPS {
            client.step(&mut materializer);
            client.compare(fixture, &materializer, &format!("seed {seed}, step {step}"));
            match client.dice.roll(12) {
                0 if F::REOPENS => {
                    drop(materializer);
                    materializer = fixture.open(&storage).expect("a state that was dropped can be opened");
                }
                1 => {
                    let snapshot = materializer.snapshot().expect("a snapshot is made");
                    materializer.reset().expect("a state can be reset");
                    materializer.restore(snapshot).expect("the snapshot is whole");
                }
                _ => {}
            }
        }
    }
}

/// The same log applied one by one, in random pages, or at once gives the same state.
///
/// Verifies: pages of any size, settled or not, in a state of its own each time.
pub async fn paging_makes_no_difference<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut original) = create(fixture);
    let mut client = Client { dice: Dice(4711), ..Client::default() };
    for _ in 0..2 * STEPS {
        client.step(&mut original);
    }
    for largest in [1, 2, 7, usize::MAX] {
        for is_settled in [true, false] {
            let (_storage, mut materializer) = create(fixture);
            let mut rest = client.log.as_slice();
            while !rest.is_empty() {
                let len = (1 + client.dice.roll(largest.min(rest.len()))).min(rest.len());
                let (page, later) = rest.split_at(if largest == usize::MAX { rest.len() } else { len });
                rest = later;
                let events: Vec<Event> = page.iter().map(|(num, change)| event(*num, change)).collect();
                let last = events.last().expect("a page has events").num.position();
                let batch = MaterializeBatch {
                    base: materializer.head().expect("the head can be read"),
                    rollback_to: None,
                    events: &events,
                    settled: if is_settled { last } else { Position::ROOT },
                    on_failure: OnFailure::Quarantine,
                };
                materializer.apply(batch).expect("the page is applied");
            }
            client.compare(fixture, &materializer, &format!("pages of {largest}, settled: {is_settled}"));
        }
    }
}

/// A client's log and what it does to its state, as a leader would.
#[derive(Default)]
struct Client {
    dice: Dice,
    log: Vec<(SeqNum, Change)>,
    /// How many events of the log are settled.
    settled: usize,
    generation: RebaseGeneration,
}

impl Client {
    fn step(&mut self, materializer: &mut impl Materializer) {
        match self.dice.roll(6) {
            0..=2 => self.commit(materializer),
            3 => self.confirm(materializer),
            _ => self.rebase(materializer),
        }
    }

    /// One to three local events, in one batch that is refused if one of them fails.
    fn commit(&mut self, materializer: &mut impl Materializer) {
        let count = 1 + self.dice.roll(3);
        let before = self.log.len();
        for _ in 0..count {
            let change = self.change();
            self.append(change);
        }
        let fails = self.log[before..]
            .iter()
            .any(|(_, change)| matches!(change, Change::Fail(_) | Change::Later(..)));
        let applied = self.apply(materializer, None, before, OnFailure::Refuse);
        assert_eq!(applied, !fails, "a batch must be refused exactly if an event of it fails");
        if fails {
            self.log.truncate(before);
        }
    }

    /// Some of the pending events settle.
    fn confirm(&mut self, materializer: &mut impl Materializer) {
        let pending = self.log.len() - self.settled;
        self.settled += self.dice.roll(pending + 1);
        assert!(self.apply(materializer, None, self.log.len(), OnFailure::Quarantine));
    }

    /// Pending is undone, upstream events come in and are settled, and pending follows them.
    fn rebase(&mut self, materializer: &mut impl Materializer) {
        let pending = self.log.split_off(self.settled);
        let to = self.log.last().map_or(SeqNum::ROOT, |(num, _)| *num);
        self.generation = self.generation.next();
        for _ in 0..self.dice.roll(5) {
            let change = self.change();
            let num = self.head().next_synced(self.generation);
            self.log.push((num, change));
        }
        let first_new = self.settled;
        self.settled = self.log.len();
        pending.into_iter().for_each(|(_, change)| self.append(change));
        assert!(self.apply(materializer, Some(to), first_new, OnFailure::Quarantine));
    }

    fn apply(
        &self,
        materializer: &mut impl Materializer,
        rollback_to: Option<SeqNum>,
        first: usize,
        on_failure: OnFailure,
    ) -> bool {
        let events: Vec<Event> = self.log[first..].iter().map(|(num, change)| event(*num, change)).collect();
        let settled = self.log[..self.settled].last().map_or(Position::ROOT, |(num, _)| num.position());
        let base = materializer.head().expect("the head can be read");
        materializer
            .apply(MaterializeBatch { base, rollback_to, events: &events, settled, on_failure })
            .is_ok()
    }

    fn head(&self) -> SeqNum {
        self.log.last().map_or(SeqNum::ROOT, |(num, _)| *num)
    }

    fn append(&mut self, change: Change) {
        let num = if self.dice.roll(4) == 0 {
            self.head().next_client_only(self.generation)
        } else {
            self.head().next_synced(self.generation)
        };
        self.log.push((num, change));
    }

    fn change(&mut self) -> Change {
        const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
        let key = KEYS[self.dice.roll(KEYS.len())];
        let value = self.dice.roll(1000) as i64;
        match self.dice.roll(12) {
            0..=3 => Change::Set(key, value),
            4..=6 => Change::Add(key, value),
            7 | 8 => Change::Del(key),
            9 => Change::Copy(key, KEYS[self.dice.roll(KEYS.len())]),
            10 => Change::Fail(key),
            _ => Change::Later(key, value),
        }
    }

    fn compare<F: MaterializerFixture>(&self, fixture: &F, materializer: &F::Materializer, moment: &str) {
        let mut model = BTreeMap::new();
        self.log.iter().for_each(|(_, change)| change.apply(&mut model));
        assert_eq!(fixture.dump(materializer), model, "{moment}");
        assert_eq!(head(materializer), self.head().to_string(), "{moment}");
        let failed = self.log.iter().filter(|(_, change)| matches!(change, Change::Fail(_)));
        let failed: Vec<String> = failed.map(|(num, _)| num.to_string()).collect();
        assert_eq!(quarantined(materializer), failed, "{moment}");
    }
}

/// A small generator, so that a history is named by its seed on every machine.
#[derive(Default)]
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
}
